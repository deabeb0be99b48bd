/* One sample in full: why it was kept or not, both prompts beside each other, and its completion. */

const FACTS = [
  ["measured by the filter", "score"], ["mean α", "alpha_mean"], ["ESS ratio", "ess_ratio_mean"], ["… where the models differ", "divergent_ess_ratio_mean"],
  ["KL(q‖π_θ)", "kl_theta_mean"], ["KL(q‖π_t)", "kl_t_mean"], ["Σ log Z", "log_z_sum"],
  ["entropy of π_θ", "entropy_theta_mean"], ["entropy of π_t", "entropy_t_mean"],
];
const COUNTS = [
  ["tokens where the models differ", "divergent_tokens"], ["boundary tokens", "boundary_tokens"],
  ["clamped tokens", "clamped_tokens"], ["unconverged tokens", "unconverged_tokens"],
  ["tokens by policy", "policy_tokens"],
];

const promptView = (title, [before, own, after]) => make("section", { class: "prompt" },
  make("h4", {}, title),
  make("div", { class: "text", dir: "auto", tabindex: "0", role: "region", "aria-label": title },
    before, own ? make("mark", {}, own) : "", after));

const factList = (store, at) => {
  const fact = (label, name) => make("div", {}, make("dt", {}, label), make("dd", {}, shown(store.value(name, at))));
  const facts = FACTS.filter(([, name]) => store.value(name, at) !== null).map(([label, name]) => fact(label, name));
  const counts = COUNTS.filter(([, name]) => store.value(name, at)).map(([label, name]) => fact(label, name));
  return make("dl", { class: "facts" }, ...facts, ...counts);
};

const completionView = (store, texts, tokens) => {
  if (tokens === null) {
    return [make("div", { class: "text", dir: "auto" }, texts.completion || "∅"),
      make("p", { class: "muted" }, "This sample is not told token by token in this file; the version’s traces hold it.")];
  }
  const view = new Tokens(tokens, store.index.statuses);
  const more = tokens.omitted ? make("p", { class: "muted" },
    `${counted(tokens.omitted, "more token")} not shown, to keep this file small; the version’s traces hold them.`) : "";
  return [make("div", {}, view.list, more, view.numbers)];
};

/** The sample that this one repeats; a link where the page has it. */
const likeView = (store, id) => {
  if (!id) return [];
  const at = store.find(id);
  return [muted(" of "), at === undefined ? isolated(id) : make("a", { href: linkTo(store, at) }, isolated(id))];
};

/** The whole view of the sample at a place of the store, filled into `detail`. */
const showSample = async (store, at, detail) => {
  const [texts, tokens] = await Promise.all([store.texts(at), store.tokens(at)]);
  const { outcome, stage, reason } = store.why(at);
  const value = (name) => store.value(name, at);
  detail.replaceChildren(
    make("h3", { id: "detail-title", tabindex: "-1" }, badge(outcome), " ",
      reason ? isolated(reason) : outcome === "kept" ? "passed every filter" : "no reason given", ...likeView(store, value("like")), reason && stage ? muted(" at ", isolated(stage)) : ""),
    make("p", { class: "muted ids" }, make("a", { href: linkTo(store, at) }, isolated(value("id"))),
      " · prompt ", make("a", { href: `#prompt=${encodeURIComponent(value("prompt"))}`, "data-prompt": true,
        title: "All samples of this prompt" }, isolated(value("prompt"))), ` · draw ${value("draw")} · finish: ${value("finish")} · `,
      counted(value("tokens"), "token")),
    texts.error ? make("p", { class: "error" }, make("b", {}, "Error "), make("span", { dir: "auto" }, texts.error)) : "",
    make("div", { class: "prompts" }, promptView("Student’s prompt", texts.student),
      promptView("Teacher’s prompt", texts.teacher)),
    texts.answer === null ? "" : make("p", { class: "answer" }, make("b", {}, "Gold answer "),
      make("span", { dir: "auto" }, texts.answer)),
    make("h4", {}, "Completion"),
    ...completionView(store, texts, tokens),
    make("h4", {}, "Numbers of the sample"),
    factList(store, at),
  );
};
