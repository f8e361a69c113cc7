import type { ReactNode } from 'react';

export interface TableColumn<Item> {
  readonly title: string;
  readonly cell: (item: Item) => ReactNode;
  readonly isNumber?: boolean;
}

/** A table of few rows. Where there is little room a row is a card; the roles keep it a table for screen readers. */
export function Table<Item>({
  label,
  items,
  keyOf,
  columns,
}: {
  label: string;
  items: readonly Item[];
  keyOf: (item: Item) => string;
  columns: readonly TableColumn<Item>[];
}) {
  return (
    <div className="cards-room">
      <table className="cards" role="table" aria-label={label}>
        <thead role="rowgroup">
          <tr role="row">
            {columns.map(({ title, isNumber }) => (
              <th key={title} role="columnheader" scope="col" className={isNumber ? 'number' : undefined}>
                {title}
              </th>
            ))}
          </tr>
        </thead>
        <tbody role="rowgroup">
          {items.map((item) => (
            <tr key={keyOf(item)} role="row">
              {columns.map(({ title, cell, isNumber }) => (
                <td key={title} role="cell" data-title={title} className={isNumber ? 'number' : undefined}>
                  <div>{cell(item)}</div>
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
