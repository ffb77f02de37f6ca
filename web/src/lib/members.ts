// Members of an archive.

import type { Member } from './artefact-types';

/** What a page keeps of an archive; an archive may have millions. */
export const MEMBERS_MOST = 50_000;

/** Those whose names have all the words, in whatever case. */
export function membersWith(members: Member[], text: string): Member[] {
  const words = text.toLowerCase().split(/\s+/).filter((word) => word !== '');
  if (words.length === 0) return members;
  return members.filter(({ name }) => {
    const low = name.toLowerCase();
    return words.every((word) => low.includes(word));
  });
}
