/* Which samples are wanted, and in which order. Pure: the same question always has the same answer. */

const NUMBERS = ["alpha_mean", "ess_ratio_mean", "tokens"];

/** A bound that is not set is null; a sample without the number is outside of every range that is. */
const within = (value, [low, high]) => {
  if (low === null && high === null) return true;
  return value !== null && (low === null || value >= low) && (high === null || value <= high);
};

/** What is searched for: words, all of which must occur, and phrases in quotes. */
const terms = (words) => [...words.toLowerCase().matchAll(/"([^"]+)"|[^\s"]+/g)].map(([word, phrase]) => phrase ?? word);

/** Places of the samples that meet all conditions, and how many of each outcome meet all but that on outcomes; `texts`
 * are lower-cased, or null where nothing is searched. */
const select = (store, query, texts) => {
  const words = texts === null ? [] : terms(query.words);
  const counts = Object.fromEntries(store.index.outcomes.map((outcome) => [outcome, 0]));
  const found = [];
  for (let at = 0; at < store.length; at += 1) {
    const why = store.value("why", at);
    if (query.why !== null && why !== query.why) continue;
    if (query.prompt && store.value("prompt", at) !== query.prompt) continue;
    if (query.told && store.value("trace", at) === null) continue;
    if (!NUMBERS.every((name) => within(store.value(name, at), query.ranges[name]))) continue;
    if (!words.every((word) => texts[at].includes(word))) continue;
    const [outcome] = store.index.reasons[why];
    counts[outcome] += 1;
    if (query.outcomes.has(outcome)) found.push(at);
  }
  return { found, counts };
};

/** By a column, ties and missing values last in the page's own order; without a column in that order. */
const arrange = (store, places, { column, descending }) => {
  if (column === null) return places;
  const values = store.columns[column];
  const turn = descending ? -1 : 1;
  return [...places].sort((one, other) => {
    const [a, b] = [values[one], values[other]];
    if (a === null || b === null) return (a === null) - (b === null) || one - other;
    return turn * (a - b) || one - other;
  });
};
