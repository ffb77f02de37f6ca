// The real browser that checks drive: these below dev/, and those of the end-to-end tests.

import { chromium } from 'playwright-core';

const CHROMIUM = process.env.CHROMIUM ?? '/usr/bin/chromium';
// It talks to nobody but the page.
const QUIET = ['--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'];

export const launch = ({ program = CHROMIUM, more = [] } = {}) =>
  chromium.launch({ executablePath: program, args: ['--no-sandbox', '--disable-gpu', ...QUIET, ...more] });
