// Values of samples as people read them, by what they measure.

import { shortDuration, size } from './sizes';

export type Unit = 'plain' | 'share' | 'bytes' | 'bytes/s' | 'seconds';

const precise = new Intl.NumberFormat('en', { maximumSignificantDigits: 6 });
const short = new Intl.NumberFormat('en', { notation: 'compact', maximumSignificantDigits: 3 });

/** `1,234.5`, `1.5e-7`, `+Inf` */
export function figure(value: number, unit: Unit = 'plain'): string {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? 'NaN' : value > 0 ? '+Inf' : '-Inf';
  return written(value, unit, (plain) => precise.format(plain));
}

/** The same on an axis, where there is little room. */
export function axisFigure(value: number, unit: Unit = 'plain'): string {
  return written(value, unit, (plain) => short.format(plain));
}

function written(value: number, unit: Unit, plainly: (value: number) => string): string {
  switch (unit) {
    case 'share': return `${Number((100 * value).toFixed(Math.abs(value) < 0.1 ? 2 : 1))} %`;
    case 'bytes': return sized(value);
    case 'bytes/s': return `${sized(value)}/s`;
    case 'seconds': return shortDuration(value);
    case 'plain': break;
  }
  const magnitude = Math.abs(value);
  if (magnitude !== 0 && (magnitude >= 1e15 || magnitude < 1e-4)) {
    return Number(value.toPrecision(6)).toExponential();
  }
  return plainly(value);
}

const sized = (value: number): string => (value < 0 ? `-${size(-value)}` : size(Math.round(value)));
