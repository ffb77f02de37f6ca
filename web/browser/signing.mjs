// Coming in: by a one-time link, and by the sign-in page.

import assert from 'node:assert/strict';

export async function acceptInvitation(watched) {
  const { page, task } = watched;
  await watched.go(`/welcome/${task.invitation}`);
  await page.fill('[name=password]', task.password);
  await page.fill('[name=again]', task.password);
  await watched.look('welcome');
  await page.click('button:not(nav button)');
  await page.waitForURL(`${watched.origin}/`);
  await page.waitForSelector('h2:text-is("Areas")');
  await watched.look('home');
  await watched.go('/?plain=yes');
  await page.waitForSelector('h2:text-is("Nodes")');
  await watched.look('home-plain');
  await watched.go('/telemetryui/');
  await page.click('text="Sign out"');
  await page.waitForURL('**/login');
}

export async function signIn(watched) {
  const { page, task } = watched;
  // Whoever has no session is led to the sign-in page, and from there to where they wanted to go.
  await watched.expecting(401, async () => {
    await page.goto(`${watched.origin}/telemetryui/crashes?range=30d`);
    await page.waitForURL('**/login?to=**');
  });
  await watched.look('sign-in');
  await page.fill('[name=name]', task.name);
  await page.fill('[name=password]', 'a wrong password');
  await watched.expecting(401, async () => {
    await page.click('button');
    await page.waitForSelector('[role=alert], .problem');
  });
  await page.fill('[name=password]', task.password);
  await page.click('button');
  await page.waitForURL('**/telemetryui/crashes?range=30d');
  await page.waitForSelector('table.crashes');
  const [red, green, blue] = await page.evaluate(() =>
    getComputedStyle(document.body).backgroundColor.match(/\d+/g).map(Number));
  const isDark = red + green + blue < 300;
  assert.equal(isDark, watched.view.startsWith('dark'), 'the theme of the system is shown');
}
