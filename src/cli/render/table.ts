/** Aligned text: tables with a head line, and lists of `Name: value`. Plain characters only, no colours. */

export interface Column {
  title: string;
  /** Numbers stand at the right. */
  right?: boolean;
}

const GAP = '  ';

/** Columns as wide as their widest cell; the last one is not padded. Empty cells show `-`. */
export function tableText(columns: readonly Column[], rows: readonly (readonly string[])[]): string {
  const lines = [columns.map((column) => column.title), ...rows.map((row) => row.map((cell) => cell || '-'))];
  const widths = columns.map((_, i) => Math.max(...lines.map((line) => width(line[i]!))));
  return lines
    .map((line) =>
      line
        .map((cell, i) => padded(cell, widths[i]!, columns[i]!.right === true))
        .join(GAP)
        .trimEnd(),
    )
    .join('\n');
}

/** `Name:   value` lines with the values in one column; values with several lines continue in it. */
export function fieldsText(fields: readonly (readonly [string, string])[]): string {
  const indent = Math.max(...fields.map(([name]) => width(name))) + 1 + GAP.length;
  return fields
    .map(([name, value]) => {
      const [first = '', ...more] = (value || '-').split('\n');
      return [`${name}:`.padEnd(indent) + first, ...more.map((line) => ' '.repeat(indent) + line)].join('\n');
    })
    .join('\n');
}

function padded(cell: string, most: number, right: boolean): string {
  const space = ' '.repeat(most - width(cell));
  return right ? space + cell : cell + space;
}

function width(cell: string): number {
  return [...cell].length;
}
