// An editor for PromQL with completion and problems at their place. It is large, so that only the page
// that needs it loads it.
//
// It lives in a shadow tree: there its styles are sheets made by script, which the content security
// policy allows; in the document itself it would write style elements, which the policy forbids.

import { autocompletion, closeBrackets, closeBracketsKeymap, completionKeymap } from '@codemirror/autocomplete';
import { defaultKeymap, history, historyKeymap, insertNewlineAndIndent } from '@codemirror/commands';
import { bracketMatching, HighlightStyle, syntaxHighlighting } from '@codemirror/language';
import { forceLinting, lintKeymap, linter, type Diagnostic } from '@codemirror/lint';
import { EditorState, Prec, StateEffect, type Extension, type Transaction } from '@codemirror/state';
import { EditorView, keymap, placeholder, type KeyBinding } from '@codemirror/view';
import { tags } from '@lezer/highlight';
import { PromQLExtension } from '@prometheus-io/codemirror-promql';
import { signIn } from './api';

export interface Problem {
  message: string;
  severity: 'error' | 'warning' | 'info';
  /** Where it begins, in characters. */
  at: number;
}

export interface EditorOptions {
  text: string;
  label: string;
  onchange: (text: string) => void;
  onrun: () => void;
  /** Alt and an arrow: by one place up or down. */
  onmove: (by: number) => void;
}

export interface Editor {
  setText(text: string): void;
  /** What the server says of the text, until it is changed. */
  setProblems(problems: Problem[]): void;
  focus(): void;
  destroy(): void;
}

const NAMES_KEPT_MS = 60_000;

/** The server has said something of the text. */
const told = StateEffect.define<null>();

const look = EditorView.theme({
  '&': { color: 'var(--ink)', background: 'var(--sheet)', border: '1px solid var(--edge-line)', borderRadius: '4px', fontSize: '.875rem' },
  '&.cm-focused': { outline: '3px solid var(--wire)', outlineOffset: '2px' },
  '.cm-scroller': { fontFamily: 'var(--mono)', lineHeight: '1.5' },
  '.cm-content': { padding: '.25rem 0', caretColor: 'var(--ink)' },
  '.cm-line': { padding: '0 .5rem' },
  '.cm-placeholder': { color: 'var(--soft)' },
  '& .cm-matchingBracket': { background: 'none' },
  '&.cm-focused .cm-matchingBracket': { background: 'var(--mark)', outline: '1px solid var(--edge-line)' },
  '& .cm-nonmatchingBracket, &.cm-focused .cm-nonmatchingBracket': { background: 'none', color: 'var(--bad)' },
  '.cm-tooltip': { maxWidth: 'min(36rem, calc(100vw - 1rem))', color: 'var(--ink)', background: 'var(--sheet)', border: '1px solid var(--edge-line)', borderRadius: '4px', zIndex: '5' },
  '.cm-tooltip.cm-tooltip-autocomplete > ul': { fontFamily: 'var(--mono)', maxWidth: 'calc(100vw - 1rem)', minWidth: '0' },
  '.cm-tooltip.cm-tooltip-autocomplete > ul > li': { padding: '.125rem .5rem' },
  '.cm-tooltip-autocomplete ul li[aria-selected]': { color: 'var(--on-wire)', background: 'var(--wire)' },
  '.cm-completionMatchedText': { fontWeight: '700', textDecoration: 'none' },
  '.cm-completionDetail': { color: 'inherit', fontStyle: 'normal', opacity: '.8' },
  '.cm-completionInfo': { padding: '.375rem .5rem', fontFamily: 'system-ui, sans-serif' },
  // It would cover the list that it belongs to.
  '@media (max-width: 40rem)': { '.cm-tooltip.cm-completionInfo': { display: 'none' } },
  '.cm-diagnostic': { padding: '.25rem .5rem', fontFamily: 'system-ui, sans-serif' },
  '.cm-diagnostic-error': { borderLeftColor: 'var(--bad)' },
});

const colours = HighlightStyle.define([
  { tag: [tags.function(tags.variableName), tags.operatorKeyword, tags.modifier, tags.keyword], color: 'var(--wire)', fontWeight: '600' },
  { tag: tags.string, color: 'var(--code-text)' },
  { tag: [tags.number, tags.bool], color: 'var(--code-number)' },
  { tag: [tags.labelName, tags.propertyName], color: 'var(--code-name)' },
  { tag: tags.comment, color: 'var(--soft)', fontStyle: 'italic' },
  { tag: tags.invalid, color: 'var(--bad)' },
]);

export function makeEditor(host: HTMLElement, options: EditorOptions): Editor {
  const root = host.shadowRoot ?? host.attachShadow({ mode: 'open' });
  const language = new PromQLExtension().setComplete({
    remote: { fetchFn: asked, httpMethod: 'GET', httpErrorHandler: () => undefined, cache: { maxAge: NAMES_KEPT_MS } },
  });
  let problems: Problem[] = [];
  const view = new EditorView({
    root,
    parent: root as unknown as HTMLElement,
    state: EditorState.create({
      doc: options.text,
      extensions: [
        extensions(options),
        language.asExtension(),
        linter((shown) => problems.map((one) => diagnosticOf(one, shown)), {
          needsRefresh: ({ transactions }) => transactions.some(({ effects }) => effects.some((one) => one.is(told))),
        }),
        EditorView.updateListener.of((update) => {
          if (!update.docChanged) return;
          problems = [];
          options.onchange(update.state.doc.toString());
        }),
      ],
    }),
  });
  return {
    setText: (text) => {
      if (text === view.state.doc.toString()) return;
      view.dispatch({ changes: { from: 0, to: view.state.doc.length, insert: text } });
    },
    setProblems: (given) => {
      if (given.length === 0 && problems.length === 0) return;
      problems = given;
      view.dispatch({ effects: told.of(null) });
      forceLinting(view);
    },
    focus: () => view.focus(),
    destroy: () => {
      language.destroy();
      view.destroy();
    },
  };
}

function extensions({ label, onrun, onmove }: EditorOptions): Extension[] {
  const done = (act: () => void) => () => {
    act();
    return true;
  };
  const own: KeyBinding[] = [
    { key: 'Enter', run: done(onrun) },
    { key: 'Mod-Enter', run: done(onrun) },
    { key: 'Shift-Enter', run: insertNewlineAndIndent },
    { key: 'Alt-ArrowUp', run: done(() => onmove(-1)) },
    { key: 'Alt-ArrowDown', run: done(() => onmove(1)) },
  ];
  return [
    look,
    syntaxHighlighting(colours),
    history(),
    bracketMatching(),
    closeBrackets(),
    autocompletion({ icons: false }),
    EditorView.domEventHandlers({ beforeinput: replaced }),
    EditorView.lineWrapping,
    EditorView.contentAttributes.of({ 'aria-label': label, spellcheck: 'false', autocapitalize: 'off' }),
    placeholder('An expression such as rate(node_network_receive_bytes_total[5m])'),
    // Completion has the highest rank: while its list is open, Enter takes what is chosen there.
    Prec.high(keymap.of(own)),
    keymap.of([...closeBracketsKeymap, ...completionKeymap, ...lintKeymap, ...historyKeymap, ...defaultKeymap]),
  ];
}

/** Writes over what is selected. Left to itself, the browser keeps the look of what was there with a
 * style attribute, which the policy forbids. */
function replaced(event: InputEvent, view: EditorView): boolean {
  const { from, to, empty } = view.state.selection.main;
  const text = event.data;
  if (event.inputType !== 'insertText' || text === null || empty || view.composing) return false;
  const insert = (): Transaction => view.state.update({
    ...view.state.replaceSelection(text), userEvent: 'input.type', scrollIntoView: true,
  });
  const handlers = view.state.facet(EditorView.inputHandler);
  if (!handlers.some((handle) => handle(view, from, to, text, insert))) view.dispatch(insert());
  event.preventDefault();
  return true;
}

/** What a problem marks: the word that begins there, or the last character. */
function diagnosticOf({ message, severity, at }: Problem, { state }: EditorView): Diagnostic {
  const length = state.doc.length;
  const from = Math.min(at, Math.max(length - 1, 0));
  const to = state.wordAt(from)?.to ?? Math.min(from + 1, length);
  return { from, to, severity, message };
}

async function asked(input: RequestInfo, init?: RequestInit): Promise<Response> {
  const response = await fetch(input, { ...init, credentials: 'same-origin' });
  if (response.status === 401) signIn();
  return response;
}
