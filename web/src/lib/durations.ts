// Durations as Prometheus writes them: `1h30m`, `15s`, `250ms`; a plain number is seconds.

const UNITS: Record<string, number> = {
  y: 365 * 86_400, w: 7 * 86_400, d: 86_400, h: 3_600, m: 60, s: 1, ms: 0.001,
};
const ORDER = ['y', 'w', 'd', 'h', 'm', 's', 'ms'];

/** In seconds; null when it is no duration, or none above zero. */
export function readDuration(text: string): number | null {
  const plain = text.trim();
  if (/^\d+(\.\d+)?$/.test(plain)) return Number(plain) > 0 ? Number(plain) : null;
  if (!/^(\d+(ms|[ywdhms]))+$/.test(plain)) return null;
  const parts = [...plain.matchAll(/(\d+)(ms|[ywdhms])/g)];
  const seconds = parts.reduce((sum, [, count, unit]) => sum + Number(count) * (UNITS[unit ?? ''] ?? 0), 0);
  return seconds > 0 ? seconds : null;
}

/** `1h30m` */
export function writeDuration(seconds: number): string {
  let rest = Math.round(seconds * 1_000);
  const parts = ORDER.flatMap((unit) => {
    // Years and weeks are rarely what was meant.
    if (unit === 'y' || unit === 'w') return [];
    const length = Math.round((UNITS[unit] ?? 1) * 1_000);
    const count = Math.floor(rest / length);
    rest -= count * length;
    return count > 0 ? [`${count}${unit}`] : [];
  });
  return parts.join('') || '0s';
}

/** Steps that people know, in seconds. */
const STEPS = [
  1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 10_800, 21_600, 43_200, 86_400,
  172_800, 604_800,
];
/** The API refuses more points than this for each series. */
export const POINTS_MOST = 11_000;
/** Closer than this, in pixels, points of a line can't be told apart. */
const POINT_PIXELS = 3;

/** How far apart samples are drawn over a span on so many pixels, all in seconds. */
export function stepFor(seconds: number, pixels: number): number {
  const wanted = (seconds * POINT_PIXELS) / Math.max(pixels, 60);
  return STEPS.find((step) => step >= wanted) ?? Math.ceil(wanted / 604_800) * 604_800;
}

/** A step that somebody wrote, as far as the API allows it. */
export const allowedStep = (step: number, seconds: number): number =>
  Math.max(step, Math.ceil(seconds / (POINTS_MOST - 1)));
