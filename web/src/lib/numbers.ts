// Numbers as people read them.

const whole = new Intl.NumberFormat('en');
const compactly = new Intl.NumberFormat('en', { notation: 'compact', maximumFractionDigits: 1 });

/** `12,345` */
export const number = (value: number): string => whole.format(value);

/** `12.3K`, where there is little room. */
export const compact = (value: number): string => compactly.format(value);

/** `12.3 %`; what exists is never called zero. */
export function share(part: number, all: number): string {
  if (all === 0 || part === 0) return '0 %';
  const percent = (100 * part) / all;
  return percent < 0.1 ? '< 0.1 %' : `${percent.toFixed(1)} %`;
}

/** `1 record`, `2 records` */
export const counted = (count: number, one: string, many = `${one}s`): string =>
  `${number(count)} ${count === 1 ? one : many}`;
