// Builds in the order in which they came out, as far as their names tell.

/** Compares numbers within names as numbers: `22.4` is before `22.10`. */
const collator = new Intl.Collator('en', { numeric: true });

export const compareBuilds = (one: string, other: string): number => collator.compare(one, other);

/** The newest first. */
export function newestBuilds(builds: Iterable<string>, most = Infinity): string[] {
  const sorted = [...new Set(builds)].sort((one, other) => compareBuilds(other, one));
  return sorted.slice(0, most);
}
