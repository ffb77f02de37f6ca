// Classifications: three parts with slashes between, such as `org.clearlinux/crash/clr`.

const USUAL_VENDOR = 'org.clearlinux/';

/** Without the vendor that nearly all of them have. */
export function shortClass(classification: string): string {
  return classification.startsWith(USUAL_VENDOR)
    ? classification.slice(USUAL_VENDOR.length)
    : classification;
}

/** What a filter may say: all that are known, and their beginnings with a star. */
export function patternsOf(known: string[]): string[] {
  const patterns = new Set<string>();
  for (const classification of known) {
    const [vendor, probe] = classification.split('/');
    patterns.add(`${vendor}/*`).add(`${vendor}/${probe}/*`);
  }
  // A client may send a star as the last part: what is known can look like a pattern.
  return [...new Set([...[...patterns].sort(), ...[...known].sort()])];
}

/**
 * What somebody meant who wrote a classification as the list shows it, without the usual vendor.
 * Only when nothing known begins with what was written: old clients sent classes such as
 * `crash/kernel/bug`, and those have to stay reachable.
 */
export function expandClass(written: string, known: string[]): string {
  const text = written.trim();
  if (text === '' || text.startsWith(USUAL_VENDOR)) return text;
  const isBeginning = text.endsWith('*');
  const beginning = isBeginning ? text.slice(0, -1) : text;
  const fits = (classification: string, start: string): boolean =>
    isBeginning ? classification.startsWith(start) : classification === start;
  if (known.some((classification) => fits(classification, beginning))) return text;
  const longer = USUAL_VENDOR + beginning;
  return known.some((classification) => fits(classification, longer)) ? USUAL_VENDOR + text : text;
}

/** Why a text can't be a filter; null when it can. */
export function classProblem(text: string): string | null {
  if (text === '' || /^[^/*]*\/[^/*]*\/[^/*]*$/.test(text)) return null;
  if (/^[^/*]+(\/[^/*]+)?\/\*$/.test(text)) return null;
  return 'Write all three parts, such as org.clearlinux/crash/clr, or the beginning with a star, such as org.clearlinux/crash/*.';
}
