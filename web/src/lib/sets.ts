// Sets that are replaced and not changed, as what is shown wants them.

/** With it if it was not there, and without it if it was. */
export function toggled<T>(set: ReadonlySet<T>, one: T): Set<T> {
  const next = new Set(set);
  if (!next.delete(one)) next.add(one);
  return next;
}
