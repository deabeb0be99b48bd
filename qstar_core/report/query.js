/* Which samples are wanted, and in which order. Pure: the same question always has the same answer. */

const NUMBERS = ["alpha_mean", "ess_ratio_mean", "tokens"];

/** A bound that is not set is null; a sample without the number is outside of every range that is. */
const within = (value, [low, high]) => {
  if (low === null && high === null) return true;
  return value !== null && (low === null || value >= low) && (high === null || value <= high);
};

/** Places of the samples that meet all conditions; `texts` are lower-cased, or null where nothing is searched. */
const select = (store, query, texts) => {
  const words = query.words.trim().toLowerCase();
  const found = [];
  for (let at = 0; at < store.length; at += 1) {
    const why = store.value("why", at);
    if (!query.outcomes.has(store.index.reasons[why][0])) continue;
    if (query.why !== null && why !== query.why) continue;
    if (query.told && store.value("trace", at) === null) continue;
    if (!NUMBERS.every((name) => within(store.value(name, at), query.ranges[name]))) continue;
    if (words && !texts[at].includes(words)) continue;
    found.push(at);
  }
  return found;
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
