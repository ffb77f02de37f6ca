// Times as people read them: how long ago, and exactly in UTC.

const SECOND = 1000;
export const MINUTE = 60 * SECOND;
export const HOUR = 60 * MINUTE;
export const DAY = 24 * HOUR;
export const WEEK = 7 * DAY;

/** `2026-11-21 17:05:33 UTC` */
export function absolute(time: string | null): string {
  const at = time === null ? Number.NaN : Date.parse(time);
  if (Number.isNaN(at)) return 'unknown';
  return `${new Date(at).toISOString().slice(0, 19).replace('T', ' ')} UTC`;
}

/** `4 min ago`; the date when it is longer ago than anyone counts in days. */
export function relative(time: string | null, now: number): string {
  const at = time === null ? Number.NaN : Date.parse(time);
  if (Number.isNaN(at)) return 'unknown';
  const age = now - at;
  if (age >= 90 * DAY || age <= -90 * DAY) return new Date(at).toISOString().slice(0, 10);
  // Clocks differ by a little all the time; only what is clearly ahead is called so.
  if (Math.abs(age) < 5 * SECOND) return 'now';
  return age < -MINUTE ? `in ${span(-age)}` : `${span(Math.max(age, 0))} ago`;
}

/** The largest unit that is not zero. */
export function span(milliseconds: number): string {
  if (milliseconds < MINUTE) return `${Math.floor(milliseconds / SECOND)} s`;
  if (milliseconds < HOUR) return `${Math.floor(milliseconds / MINUTE)} min`;
  if (milliseconds < 2 * DAY) return `${Math.floor(milliseconds / HOUR)} h`;
  return `${Math.floor(milliseconds / DAY)} d`;
}

/** `+4 min`, `−2 h` */
export const offset = (milliseconds: number): string =>
  `${milliseconds < 0 ? '−' : '+'}${span(Math.abs(milliseconds))}`;

/** The UTC day of a time, `2026-11-21`. */
export const dayOf = (at: number): string => new Date(at).toISOString().slice(0, 10);

const MONTHS = 'Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec'.split(' ');

/** `21 Nov` */
export function shortDay(day: string): string {
  const [, month, date] = day.split('-').map(Number);
  return `${date} ${MONTHS[(month ?? 1) - 1]}`;
}

/** All days from one to another, both included, or every so many. */
export function daysBetween(first: string, last: string, step = DAY): string[] {
  const days: string[] = [];
  for (let at = Date.parse(first); at <= Date.parse(last); at += step) days.push(dayOf(at));
  return days;
}

/** The Monday of the week that a day is in. */
export function weekOf(day: string): string {
  const at = Date.parse(day);
  return dayOf(at - ((new Date(at).getUTCDay() + 6) % 7) * DAY);
}
