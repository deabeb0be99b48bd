/* The data blocks of the page. A block is unpacked when it is first looked at, and kept. */

const unpack = async (node) => {
  const bytes = Uint8Array.from(atob(node.textContent.trim()), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Response(stream).json();
};

class Store {
  static async open() {
    return new Store(await unpack(byId("block-index")));
  }

  constructor(index) {
    this.index = index;
    this.columns = index.columns;
    this.length = this.columns.id.length;
    this.blocks = new Map();
    this.places = new Map(this.columns.id.map((id, at) => [id, at]).reverse());
  }

  /** Where the sample with this id stands; undefined where the page does not have it. */
  find(id) {
    return this.places.get(id);
  }

  value(name, at) {
    return this.columns[name][at];
  }

  why(at) {
    const [outcome, stage, reason] = this.index.reasons[this.columns.why[at]];
    return { outcome, stage, reason };
  }

  async texts(at) {
    const size = this.index.texts_a_block;
    return (await this.block(`texts-${Math.floor(at / size)}`))[at % size];
  }

  /** The tokens with their numbers; null where the page does not tell this sample token by token. */
  async tokens(at) {
    const place = this.columns.trace[at];
    if (place === null) return null;
    const size = this.index.tokens_a_block;
    return (await this.block(`tokens-${Math.floor(place / size)}`))[place % size];
  }

  /** What a search looks through, for every sample. */
  searchable() {
    this.searched ??= this.collect();
    return this.searched;
  }

  async collect() {
    const names = Array.from({ length: Math.ceil(this.length / this.index.texts_a_block) }, (_, n) => `texts-${n}`);
    const texts = (await Promise.all(names.map((name) => this.block(name)))).flat();
    return texts.map(({ student, teacher, completion, answer, error }, at) => [
      this.columns.id[at], this.columns.prompt[at], this.why(at).stage, this.why(at).reason, completion, answer ?? "", error, student.join(""), teacher.join(""),
    ].join("\n").toLowerCase());
  }

  block(name) {
    if (!this.blocks.has(name)) this.blocks.set(name, unpack(byId(`block-${name}`)));
    return this.blocks.get(name);
  }
}
