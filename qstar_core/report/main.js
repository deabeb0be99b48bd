/* The browser of samples: what the controls say, what the address says, and what is shown for it. */

class Browser {
  constructor(store) {
    this.store = store;
    this.section = byId("samples");
    this.form = byId("filters");
    this.detail = byId("detail");
    this.order = { column: null, descending: false };
    this.table = new SampleTable(store, (order) => this.sort(order));
    this.asked = 0;
    this.opened = 0;
  }

  start() {
    this.fillReasons();
    this.form.addEventListener("input", () => this.ask());
    this.form.addEventListener("submit", (event) => event.preventDefault());
    this.form.addEventListener("reset", () => setTimeout(() => this.ask()));
    for (const choice of document.querySelectorAll("input[name=by]")) {
      choice.addEventListener("change", () => { this.section.dataset.by = choice.value; });
    }
    this.detail.addEventListener("click", (event) => {
      const link = event.target.closest("a[data-prompt]");
      if (link) this.follow(true, link.getAttribute("href"));
    });
    byId("sample-before").addEventListener("click", () => this.step(-1));
    byId("sample-after").addEventListener("click", () => this.step(1));
    addEventListener("hashchange", () => this.follow(true));
    byId("browser").hidden = false;
    return this.ask().then(() => this.follow(false));
  }

  /** The reasons as choices, and how many samples each has. */
  fillReasons() {
    const counts = this.store.index.reasons.map(() => 0);
    for (const why of this.store.columns.why) counts[why] += 1;
    this.store.index.reasons.forEach(([outcome, stage, reason], why) => {
      const name = [outcome, stage, reason].filter(Boolean).join(" · ");
      this.form.elements.why.append(make("option", { value: why }, `${name} (${counts[why].toLocaleString("en-US")})`));
    });
  }

  query() {
    const { elements } = this.form;
    const bound = (name) => (elements[name].value === "" ? null : elements[name].valueAsNumber);
    return {
      words: elements.words.value,
      prompt: elements.prompt.value.trim(),
      outcomes: new Set(this.store.index.outcomes.filter((outcome) => elements[`outcome-${outcome}`].checked)),
      why: elements.why.value === "" ? null : Number(elements.why.value),
      told: elements.told.checked,
      ranges: Object.fromEntries(NUMBERS.map((name) => [name, [bound(`${name}-low`), bound(`${name}-high`)]])),
    };
  }

  /** Answer what the controls ask; an answer that comes after a later question is dropped. */
  async ask() {
    this.asked += 1;
    const question = this.asked;
    const query = this.query();
    const texts = query.words.trim() ? await this.store.searchable() : null;
    if (question !== this.asked) return;
    const { found, counts } = select(this.store, query, texts);
    this.found = found;
    for (const [outcome, count] of Object.entries(counts)) {
      byId(`count-${outcome}`).textContent = count.toLocaleString("en-US");
    }
    this.table.show(arrange(this.store, this.found, this.order));
    byId("count").textContent = this.found.length === this.store.length ? counted(this.store.length, "sample")
      : `${this.found.length.toLocaleString("en-US")} of ${counted(this.store.length, "sample")}`;
    this.bounds();
  }

  sort(order) {
    this.order = order;
    this.table.show(arrange(this.store, this.found, order));
    this.bounds();
  }

  /** Open what the address names, or else the first sample; an address that names a prompt lists its samples. */
  async follow(asked, address = location.hash) {
    const [, id] = /^#sample=(.*)$/s.exec(address) ?? [];
    const [, prompt] = /^#prompt=(.*)$/s.exec(address) ?? [];
    if (prompt !== undefined) {
      this.form.elements.prompt.value = decoded(prompt);
      await this.ask();
    }
    let at = this.table.places[0];
    if (id !== undefined) {
      at = this.store.find(decoded(id));
      byId("missing").hidden = at !== undefined;
      if (at === undefined) return;
    } else if (asked) {
      return;
    }
    if (at !== undefined) await this.show(at, id !== undefined);
  }

  async show(at, focus) {
    this.opened += 1;
    const wanted = this.opened;
    const fresh = make("div");
    await showSample(this.store, at, fresh);
    if (wanted !== this.opened) return;
    this.detail.replaceChildren(...fresh.childNodes);
    this.table.mark(at);
    this.bounds();
    if (focus) {
      byId("detail-title").focus({ preventScroll: true });
      byId("detail-pane").scrollIntoView({ block: "nearest" });
    }
  }

  /** To the next sample of those that were found; the focus stays on the button. */
  step(by) {
    const next = this.table.places[this.table.places.indexOf(this.table.open) + by];
    if (next === undefined) return;
    history.replaceState(null, "", linkTo(this.store, next));
    this.show(next, false);
  }

  bounds() {
    const place = this.table.places.indexOf(this.table.open);
    byId("sample-before").disabled = place <= 0;
    byId("sample-after").disabled = place + 1 >= this.table.places.length;
  }
}

/** An address may be anything that a person or another page wrote. */
const decoded = (text) => {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
};

if (byId("block-index")) {
  if (typeof DecompressionStream === "undefined") {
    byId("too-old").hidden = false;
  } else {
    await new Browser(await Store.open()).start();
    document.documentElement.dataset.ready = "true";
    performance.mark("samples-ready");
  }
}
