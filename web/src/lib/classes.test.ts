import { expect, it } from 'vitest';
import { classProblem, expandClass, patternsOf, shortClass } from './classes';

const KNOWN = ['org.clearlinux/crash/clr', 'org.clearlinux/mce/thermal', 'crash/kernel/bug'];

it('hides the usual vendor only', () => {
  expect(shortClass('org.clearlinux/crash/clr')).toBe('crash/clr');
  expect(shortClass('com.example/a/b')).toBe('com.example/a/b');
});

it('offers beginnings before whole names', () => {
  expect(patternsOf(KNOWN)).toEqual([
    'crash/*', 'crash/kernel/*', 'org.clearlinux/*', 'org.clearlinux/crash/*', 'org.clearlinux/mce/*',
    'crash/kernel/bug', 'org.clearlinux/crash/clr', 'org.clearlinux/mce/thermal',
  ]);
});

it('offers nothing twice, whatever clients send', () => {
  expect(patternsOf(['a/b/*'])).toEqual(['a/*', 'a/b/*']);
});

it('understands what the list shows', () => {
  const check = (written: string, meant: string) => expect(expandClass(written, KNOWN)).toBe(meant);
  check('crash/clr', 'org.clearlinux/crash/clr');
  check(' mce/* ', 'org.clearlinux/mce/*');
  // An old class is meant as it is written.
  check('crash/*', 'crash/*');
  check('crash/kernel/bug', 'crash/kernel/bug');
  check('nobody/knows/this', 'nobody/knows/this');
  check('', '');
});

it('refuses what the API would refuse', () => {
  for (const fine of ['', 'a/b/c', 'a/*', 'a/b/*', 'a//c']) expect(classProblem(fine)).toBeNull();
  for (const wrong of ['a', 'a/b', 'a/b/c/d', '*', 'a*', 'a/b*', '/*']) {
    expect(classProblem(wrong)).not.toBeNull();
  }
});
