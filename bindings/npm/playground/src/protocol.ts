import type { CodeAction, CompletionItem, Diagnostic, Hover, Location, TextEdit } from 'vscode-languageserver-types';

/** What is wrong with a file, in place of what was before. */
export interface Found {
  readonly path: string;
  readonly version: number | null;
  readonly diagnostics: readonly Diagnostic[];
}

/** What a check found, and the milliseconds that it took. */
export interface Checked {
  readonly found: readonly Found[];
  readonly milliseconds: number;
}

/** The texts that the compiler writes without building. */
export type View = 'syntax' | 'program' | 'graph';

/** What a build made. */
export interface Built {
  readonly manifest: string;
  /** The bundle's other files by name. */
  readonly files: Readonly<Record<string, Uint8Array<ArrayBuffer>>>;
  readonly javascript: string;
  readonly types: string;
  readonly wgsl: string;
  readonly kernels: string;
  readonly report: string;
}

/** The questions to the compiler's worker: their arguments and answers. */
export interface Questions {
  version(): string;
  write(path: string, bytes: Uint8Array): Checked;
  remove(path: string): Checked;
  edit(path: string, text: string): Checked;
  completion(path: string, line: number, character: number): CompletionItem[];
  hover(path: string, line: number, character: number): Hover | null;
  definition(path: string, line: number, character: number): Location | null;
  actions(path: string): CodeAction[];
  formatting(path: string): TextEdit[] | null;
  view(view: View, path: string): string;
  build(path: string): Built;
}

/** A question on its way to the worker. */
export type Request = { [Name in keyof Questions]: { id: number; name: Name; args: Parameters<Questions[Name]> } }[keyof Questions];

/** An answer on its way back. After a `fatal` one the worker is of no use any more. */
export type Response = { id: number; answer: unknown } | { id: number; error: string; fatal: boolean };
