/* A completion token by token: coloured by what was measured, the numbers of one token beside it. */

const STEPS = 10;
const DIFFERENT = 0.05;

/** ½ → 0, 1 → 0.5, 2 → 1. */
const onLogScale = (ratio) => (ratio === 0 ? 0 : 0.5 + Math.log2(ratio) / 2);
const step = (prefix, share) =>
  Number.isNaN(share) ? [] : [`${prefix}${Math.round(STEPS * Math.min(1, Math.max(0, share)))}`];

class Tokens {
  constructor(tokens, statuses) {
    this.tokens = tokens;
    this.statuses = statuses;
    this.count = tokens.text.length;
    this.now = 0;
    this.numbers = make("div", { class: "numbers", role: "group", "aria-label": "Numbers of the token" });
    this.list = make("div", {
      class: "text tokens", role: "listbox", dir: "auto", "aria-orientation": "horizontal",
      "aria-label": `${counted(this.count, "token")}; arrow keys walk through them`,
    }, ...Array.from({ length: this.count }, (_, at) => this.span(at)));
    this.list.addEventListener("pointerover", (event) => this.look(event.target));
    this.list.addEventListener("pointerleave", () => this.tell(this.now));
    this.list.addEventListener("focusin", (event) => this.choose(event.target));
    this.list.addEventListener("click", (event) => event.target.closest("[data-at]")?.focus());
    this.list.addEventListener("keydown", (event) => this.walk(event));
    if (this.count) this.tell(0);
  }

  number(name, at) {
    return Number(this.tokens[name][at]);
  }

  ratio(at) {
    const [student, teacher] = [this.number("ess_theta", at), this.number("ess_t", at)];
    return teacher === 0 && student > 0 ? Infinity : student / teacher;
  }

  text(at) {
    return this.tokens.text[at].replaceAll("\n", "↵\n") || "∅";
  }

  span(at) {
    const [alpha, tv, ratio] = [this.number("alpha", at), this.number("tv", at), this.ratio(at)];
    const classes = ["t", ...step("a", alpha), ...step("e", onLogScale(ratio)), ...step("v", tv)];
    if (tv > DIFFERENT) classes.push("d");
    return make("span", {
      class: classes.join(" "), role: "option", tabindex: at === 0 ? "0" : "-1", "data-at": at,
      "aria-selected": at === 0 ? "true" : "false",
      "aria-label": `${this.text(at).trim() || "blank"}: α ${shown(alpha)}, ESS ratio ${shown(ratio)}, `
        + `model difference ${shown(tv)}`,
    }, this.text(at));
  }

  look(node) {
    const at = node.closest("[data-at]")?.dataset.at;
    if (at !== undefined) this.tell(Number(at));
  }

  choose(node) {
    if (node.dataset.at === undefined) return;
    const before = this.list.children[this.now];
    before.tabIndex = -1;
    before.setAttribute("aria-selected", "false");
    this.now = Number(node.dataset.at);
    node.tabIndex = 0;
    node.setAttribute("aria-selected", "true");
    this.tell(this.now);
  }

  walk(event) {
    const far = this.count;
    const by = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: 10, ArrowUp: -10, Home: -far, End: far }[event.key];
    if (by === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    this.list.children[Math.max(0, Math.min(this.now + by, far - 1))].focus();
    event.preventDefault();
  }

  tell(at) {
    if (this.told === at) return;
    this.told = at;
    const fact = (label, ...names) => make("div", {}, make("dt", {}, label),
      make("dd", {}, names.map((name) => shown(this.number(name, at), 4)).join(", ")));
    const status = this.statuses[this.tokens.status[at]] ?? String(this.tokens.status[at]);
    this.numbers.replaceChildren(
      make("p", {}, make("code", { dir: "auto" }, this.text(at)), " ",
        muted(`token ${(at + 1).toLocaleString("en-US")} of ${this.count.toLocaleString("en-US")}`,
          ` · id ${this.tokens.token[at]}`),
        status === "OK" ? "" : make("span", { class: "status" }, `status ${status}`)),
      make("div", { class: "two" }, make("div", { class: "shares" }, this.bar("student", "logp_theta", at), this.bar("q", "logq", at),
        this.bar("teacher", "logp_t", at)),
      make("dl", { class: "facts" }, fact("α", "alpha"),
        make("div", {}, make("dt", {}, "ESS ratio"), make("dd", {}, shown(this.ratio(at), 4))),
        fact("ESS θ, t", "ess_theta", "ess_t"), fact("model difference (tv)", "tv"), fact("KL(q‖π_θ)", "kl_theta"),
        fact("KL(q‖π_t)", "kl_t"), fact("entropy of π_θ, π_t", "entropy_theta", "entropy_t"), fact("log Z", "log_z"))),
    );
  }

  /** How probable one of the three distributions found the token. */
  bar(kind, name, at) {
    const log = this.number(name, at);
    const share = Math.exp(log);
    const inner = make("i", { class: kind });
    inner.style.setProperty("width", `${100 * Math.min(1, share) || 0}%`);
    return make("div", { class: "share" }, make("span", {}, kind), make("span", { class: "rail", "aria-hidden": "true" },
      inner), make("b", {}, `${shown(100 * share)} %`), muted(`log ${shown(log, 4)}`));
  }
}
