import { h } from './dom.ts';

/** The little of Markdown that doc comments have: paragraphs, lists as lines, code in fences and in backticks. */
export function markdown(text: string): Node[] {
  return text
    .split(/^```/m)
    .flatMap((part, index) => (index % 2 ? [h('pre', {}, part.replace(/^\w*\n/, '').trimEnd())] : part.split(/\n{2,}/).filter((paragraph) => paragraph.trim()).map(paragraph)));
}

function paragraph(text: string): HTMLElement {
  const parts = text.trim().split('`');
  return h('p', {}, ...parts.map((part, index) => (index % 2 ? h('code', {}, part) : part)));
}
