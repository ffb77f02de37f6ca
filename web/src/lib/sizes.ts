// Sizes and durations as people read and write them.

const UNITS = ['KiB', 'MiB', 'GiB', 'TiB', 'PiB'];

/** `12.4 MiB`, `512 B` */
export function size(bytes: number): string {
  if (bytes < 1024) return `${bytes} B`;
  let value = bytes;
  let unit = -1;
  // What would be shown as 1024 belongs to the next unit.
  while (value >= 1023.95 && unit < UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${Number(value.toFixed(value < 100 ? 1 : 0))} ${UNITS[unit]}`;
}

/** `12.5 s`, `3 min 20 s`, `2 h 5 min`, `30 d` */
export function duration(seconds: number | null): string {
  if (seconds === null || !Number.isFinite(seconds)) return 'unknown';
  if (seconds < 0) return `-${duration(-seconds)}`;
  if (seconds < 60) return `${Number(seconds.toFixed(seconds < 10 ? 2 : 1))} s`;
  const whole = Math.round(seconds);
  const parts: [number, string, number, string][] = [
    [86_400, 'd', 3_600, 'h'], [3_600, 'h', 60, 'min'], [60, 'min', 1, 's'],
  ];
  for (const [unit, name, below, belowName] of parts) {
    if (whole < unit) continue;
    const rest = Math.floor((whole % unit) / below);
    const first = `${Math.floor(whole / unit)} ${name}`;
    return rest > 0 ? `${first} ${rest} ${belowName}` : first;
  }
  return `${whole} s`;
}

/** As `duration`, with milliseconds where seconds are too coarse. */
export function shortDuration(seconds: number): string {
  if (Math.abs(seconds) >= 1 || seconds === 0) return duration(seconds);
  return `${Number((seconds * 1_000).toPrecision(3))} ms`;
}

/** How much of a limit is used, from 0 to 1 and beyond; null without one. */
export const shareOf = (used: number, limit: number | null): number | null =>
  limit === null ? null : limit === 0 ? 1 : used / limit;

/** From here on somebody should look at it. */
export const NEARLY_FULL = 0.9;

/** What is wrong with a retention that somebody wrote; null when nothing is. */
export const retentionProblem = (text: string): string | null =>
  /^([1-9]\d*(s|m|h|d|w))+$/.test(text) ? null : 'Write a number and a unit: 12h, 30d or 8w.';

/** What is wrong with a quota that somebody wrote; null when nothing is. */
export const quotaProblem = (text: string): string | null =>
  /^[1-9]\d*(B|[KMGT]iB|[kMG]B)$/.test(text) ? null : 'Write a number and a unit: 500MiB, 10GiB or 2TiB.';
