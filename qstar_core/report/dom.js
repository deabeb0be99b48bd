/* Elements and numbers. Elements are made here alone, from names and text: no markup is ever parsed. */

const byId = (id) => document.getElementById(id);

/** An element; attributes that are null or false are left out, children that are text stay text. */
const make = (tag, attributes = {}, ...children) => {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children);
  return node;
};

const muted = (...children) => make("span", { class: "muted" }, ...children);
const isolated = (text) => make("bdi", {}, text);
const badge = (outcome) => make("span", { class: `badge ${outcome}` }, outcome);

/** A number as a person writes it, with at least `digits` significant digits; as in the rest of the page. */
const shown = (value, digits = 3) => {
  if (value === null || value === undefined) return "—";
  if (Number.isNaN(value)) return "not a number";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size < 1e-4) return value.toExponential(digits - 1).replaceAll("-", "−");
  const decimals = Math.max(0, digits - 1 - Math.floor(Math.log10(size)));
  return value.toLocaleString("en-US", { maximumFractionDigits: decimals }).replace("-", "−");
};

const counted = (count, one, many = `${one}s`) => `${count.toLocaleString("en-US")} ${count === 1 ? one : many}`;
