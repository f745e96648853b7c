/** The list of known gaps, as `mlpc verify --known` reads it: `CASE [BACKEND,...] REASON` a line, `#` before a comment. */
export class Known {
  #rows;

  constructor(path, text) {
    const lines = text.split('\n').map((line, i) => [line.trim(), i + 1]);
    this.#rows = lines.filter(([line]) => line && !line.startsWith('#')).map(([line, number]) => {
      const [, name, backends, reason] = /^(\S+)\s+(?:\[([^\]]*)\])?\s*(\S.*)$/.exec(line) ?? [];
      if (!name) throw new Error(`${path}:${number}: a row is \`CASE [BACKEND,...] REASON\``);
      return { name, backends: (backends ?? '').split(',').map((backend) => backend.trim()).filter(Boolean), reason, passed: false };
    });
  }

  /** Marks a result that the list excuses. */
  apply(result) {
    const row = this.#rows.find(({ name, backends }) => name === result.name && (!backends.length || backends.includes(result.backend)));
    if (!row) return result;
    if (result.status !== 'pass') return { ...result, status: 'known', detail: `${row.reason} (${result.detail})` };
    row.passed = true;
    return result;
  }

  /** What is wrong with the list itself: rows of cases that pass now, or that are not there. */
  stale(cases) {
    return this.#rows.flatMap(({ name, passed }) => {
      if (passed) return [`\`${name}\` is in the list of known gaps and passes: take it out`];
      return cases.includes(name) ? [] : [`\`${name}\` is in the list of known gaps and no case has that name`];
    });
  }
}
