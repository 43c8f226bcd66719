// Computes the contrast of everything that is seen (WCAG 2.2): how many places were looked at, and those that fail.
const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
function rgba(text) {
  canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = text; canvas.fillRect(0, 0, 1, 1);
  const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data; return [r, g, b, a / 255];
}
const over = (top, ground) => top.slice(0, 3).map((part, i) => part * top[3] + ground[i] * (1 - top[3]));
function ground(node) {
  const above = [];
  for (; node; node = node.parentElement) above.push(rgba(getComputedStyle(node).backgroundColor));
  return above.reverse().reduce((all, one) => over(one, all), [255, 255, 255]);
}
function luminance(color) {
  const [r, g, b] = color.map(part => part / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}
function contrast(one, other) {
  const [low, high] = [luminance(one), luminance(other)].sort((a, b) => a - b); return (high + 0.05) / (low + 0.05);
}
const poor = [];
let seen = 0;
for (const node of document.querySelectorAll('body *')) {
  const style = getComputedStyle(node);
  const isText = [...node.childNodes].some(child => child.nodeType === 3 && child.textContent.trim());
  const isField = node.matches('input:not([type=radio]), textarea, select');
  if (!(isText || isField) || !node.getClientRects().length || node.disabled || node.closest('select:disabled')) continue;
  const color = node.closest('svg') ? style.fill : style.color;
  const value = contrast(over(rgba(color), ground(node)), ground(node));
  seen += 1;
  if (value < 4.5) poor.push([value.toFixed(2), node.outerHTML.slice(0, 100)]);
}
for (const node of document.querySelectorAll('.swatch, .line, .mark, button, input, textarea')) {
  if (!node.getClientRects().length) continue;
  const style = getComputedStyle(node);
  const color = node.closest('svg') ? style.stroke : node.matches('.swatch') ? style.backgroundColor : style.borderTopColor;
  const value = contrast(over(rgba(color), ground(node.parentElement)), ground(node.parentElement));
  seen += 1;
  if (value < 3) poor.push([value.toFixed(2), node.outerHTML.slice(0, 100)]);
}
return [seen, poor];
