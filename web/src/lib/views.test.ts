import { expect, it } from 'vitest';
import { MACHINE_CHECKS, THERMAL, usualUnit, viewOf } from './views';

it('knows the classes that have a view of their own, and makes one of any other', () => {
  expect(viewOf('org.clearlinux/mce/*')).toBe(MACHINE_CHECKS);
  expect(viewOf('org.clearlinux/mce/thermal')).toBe(THERMAL);
  expect(viewOf('org.clearlinux/mce/SRAO')).toMatchObject({ title: 'mce/SRAO', hasCodes: true });
  expect(viewOf('com.example/a/*')).toMatchObject({ title: 'com.example/a/*', hasCodes: false });
});

it('shows weeks where days would be too many', () => {
  expect(usualUnit('2026-11-01', '2026-11-30')).toBe('day');
  expect(usualUnit('2026-09-01', '2026-11-30')).toBe('week');
});
