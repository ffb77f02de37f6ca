// What is said to people who don't see the page change. One live region speaks it, in the shell.

class Announcer {
  text = $state('');

  say(text: string): void {
    this.text = text;
  }
}

export const announcer = new Announcer();
