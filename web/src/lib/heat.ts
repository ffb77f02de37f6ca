// How hot a cell of a table is.

/** As a share of the hottest colour. What happened once is not nothing: it never gets zero. */
export const heat = (count: number, most: number): number =>
  count === 0 ? 0 : 10 + (90 * count) / Math.max(most, 1);
