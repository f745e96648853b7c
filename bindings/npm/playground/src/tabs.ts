import { h } from './dom.ts';

/** A tab: its name, and what is done when it is shown. */
export interface Tab {
  readonly id: string;
  readonly title: string;
  readonly panel: HTMLElement;
  show(): void;
}

/** Tabs as the keyboard expects them: arrows move between them, the panel follows. */
export class Tabs {
  readonly list = h('div', { role: 'tablist', class: 'tabs', 'aria-label': 'What comes of it', onkeydown: (event: KeyboardEvent) => this.#key(event) });
  readonly panels = h('div', { class: 'panels' });
  readonly #buttons = new Map<string, HTMLButtonElement>();
  #current: Tab | undefined;

  constructor(private readonly tabs: readonly Tab[]) {
    for (const tab of tabs) {
      const button = h('button', { role: 'tab', type: 'button', id: `tab-${tab.id}`, 'aria-controls': `panel-${tab.id}`, onclick: () => this.show(tab.id) }, tab.title);
      this.#buttons.set(tab.id, button);
      this.list.append(button);
      for (const [name, value] of Object.entries({ role: 'tabpanel', id: `panel-${tab.id}`, 'aria-labelledby': `tab-${tab.id}` })) tab.panel.setAttribute(name, value);
      tab.panel.hidden = true;
      this.panels.append(tab.panel);
    }
  }

  /** The tab that is shown. */
  get current(): string | undefined {
    return this.#current?.id;
  }

  show(id: string): void {
    this.#current = this.tabs.find((tab) => tab.id === id);
    for (const tab of this.tabs) {
      const selected = tab === this.#current;
      const button = this.#buttons.get(tab.id)!;
      button.setAttribute('aria-selected', String(selected));
      button.tabIndex = selected ? 0 : -1;
      tab.panel.hidden = !selected;
    }
    this.refresh();
  }

  /** Brings what is shown up to date. */
  refresh(): void {
    this.#current?.show();
  }

  #key(event: KeyboardEvent): void {
    const at = this.tabs.findIndex((tab) => tab === this.#current);
    const steps: Readonly<Record<string, number>> = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: this.tabs.length - 1 };
    const step = steps[event.key];
    if (step === undefined) return;
    event.preventDefault();
    const next = this.tabs[(step + this.tabs.length) % this.tabs.length]!;
    this.show(next.id);
    this.#buttons.get(next.id)!.focus();
  }
}
