import { expect, it } from 'vitest';
import { doneWords, frameKeys, frameProblem, isAmong, progressWords } from './frames';
import { groupMeant, mergeProblem } from './merging';

const raise = { function: 'raise', module: 'libc.so.6' };

it('knows frames by both of their names', () => {
  const keys = frameKeys([raise]);
  expect(isAmong(keys, { ...raise })).toBe(true);
  expect(isAmong(keys, { ...raise, module: 'libc.so' })).toBe(false);
});

it('says why a frame can\'t be added', () => {
  expect(frameProblem({ function: 'raise', module: '' }, [])).toContain('both');
  expect(frameProblem(raise, [raise])).toContain('already');
  expect(frameProblem({ ...raise, function: 'abort' }, [raise])).toBeNull();
});

it('says how far records are grouped anew', () => {
  const regroup = { is_running: true, reached: 12_000, end: 48_000, moved: 31 };
  expect(progressWords(regroup)).toBe('Grouping anew: 12,000 of 48,000 records, 31 moved');
  expect(doneWords(regroup)).toBe('Grouped anew: 31 records came to another group.');
  expect(doneWords({ ...regroup, moved: 0 })).toBe('Grouped anew: no record came to another group.');
});

it('knows which group is meant', () => {
  const known = [{ ...raise, id: 3 }, { ...raise, id: 4 }, { function: 'inner', module: 'demo', id: 7 }];
  const check = (text: string, id: number | null) => expect(groupMeant(text, known)).toBe(id);
  check(' 12 ', 12);
  check('#12', 12);
  check('inner', 7);
  check('raise', null);
  check('0', null);
  check('', null);
});

it('says why a group can\'t be a part of another', () => {
  expect(mergeProblem(null, 3)).toContain('number');
  expect(mergeProblem(3, 3)).toContain('itself');
  expect(mergeProblem(4, 3)).toBeNull();
});
