// Numbers as people read them.

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const fine = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });

/** A count or a rate. */
export const number = (value) => (Math.abs(value) < 100 ? fine : whole).format(value);

/** A time, given in s. */
export function duration(seconds) {
  if (seconds === null) return "–";
  if (seconds < 0.001) return `${(seconds * 1000).toFixed(2)} ms`;
  if (seconds < 0.01) return `${(seconds * 1000).toFixed(1)} ms`;
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 120) return `${Math.round(seconds)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 120) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

/** A time of the day, given in Unix time, s. */
export const clock = (unix) => new Date(unix * 1000).toLocaleTimeString("en-GB");

/** A share of a whole. */
export const percent = (part, all) => (part && part < all / 1000 ? "< 0.1 %" : `${((100 * part) / all).toFixed(1)} %`);

/** A size, given in bytes. */
export const mebibytes = (bytes) => `${fine.format(bytes / 2 ** 20)} MiB`;
