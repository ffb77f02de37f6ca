// CSV with every cell quoted, as rows of cells.

export function parseCsv(text) {
  const cell = /"((?:[^"]|"")*)"(,|\r?\n|$)/gy;
  const all = [[]];
  for (let found = cell.exec(text); found; found = cell.exec(text)) {
    all.at(-1).push(found[1].replaceAll('""', '"'));
    if (found[2] === ',') continue;
    if (cell.lastIndex >= text.length) break;
    all.push([]);
  }
  return all;
}
