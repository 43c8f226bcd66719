// Elements. Text from outside becomes text nodes only: nothing here, and nothing that uses it, parses markup.

const SVG = "http://www.w3.org/2000/svg";

export const byId = (id) => document.getElementById(id);

/** An element with attributes; children are elements or texts. */
export function element(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** The same, of a drawing. */
export function drawn(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

/** A verdict as a word in its colour. */
export function verdict(name) {
  return element("span", { class: `verdict of-${name}` }, name);
}

/** Shows a value with what stands after it. */
export function figure(id, value, rest) {
  byId(id).replaceChildren(element("strong", {}, value), ` ${rest}`);
}

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}
