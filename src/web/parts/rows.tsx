import { useWindowVirtualizer } from '@tanstack/react-virtual';
import type { ReactNode } from 'react';
import { useEffect, useLayoutEffect, useRef, useState } from 'react';

export interface Column<Item> {
  readonly key: string;
  readonly title: string;
  readonly cell: (item: Item) => ReactNode;
  /** A CSS grid width. */
  readonly width: string;
  /** Numbers line up at their right. */
  readonly isNumber?: boolean;
}

export interface Selection {
  readonly ids: ReadonlySet<string>;
  readonly change: (ids: ReadonlySet<string>) => void;
}

/** How high a row is before it is measured: two lines. */
const ESTIMATED = 44;

/**
 * A table of as many rows as there are: only those in sight are in the document. On narrow screens a row is a card.
 * Keys: `j` and `k` go down and up, `x` selects, Shift-click selects a range, Enter opens.
 *
 * @param more fetches the next page; undefined at the end
 */
export function Rows<Item extends { readonly id: string }>({
  label,
  items,
  total,
  columns,
  selection,
  open,
  more,
}: {
  label: string;
  items: readonly Item[];
  total?: number | undefined;
  columns: readonly Column<Item>[];
  selection?: Selection | undefined;
  open?: ((item: Item) => void) | undefined;
  more?: (() => void) | undefined;
}) {
  const table = useRef<HTMLDivElement>(null);
  const [offset, setOffset] = useState(0);
  const [current, setCurrent] = useState(-1);
  const anchor = useRef<number | undefined>(undefined);
  useLayoutEffect(() => setOffset(table.current?.offsetTop ?? 0), []);
  const rows = useWindowVirtualizer({
    count: items.length,
    estimateSize: () => ESTIMATED,
    overscan: 12,
    scrollMargin: offset,
    getItemKey: (index) => items[index]!.id,
  });
  const shown = rows.getVirtualItems();
  const last = shown.at(-1)?.index ?? 0;
  useEffect(() => {
    if (last >= items.length - 50) more?.();
  }, [last, items.length, more]);

  const goTo = (index: number): void => {
    if (index < 0 || index >= items.length) return;
    setCurrent(index);
    rows.scrollToIndex(index);
    // The row may only come into the document with the next frame.
    requestAnimationFrame(() =>
      table.current?.querySelector<HTMLElement>(`[data-index="${index}"]`)?.focus(),
    );
  };
  const select = (index: number, isRange: boolean): void => {
    if (selection === undefined) return;
    const ids = new Set(selection.ids);
    const from = isRange ? (anchor.current ?? index) : index;
    const isOn = !ids.has(items[index]!.id);
    for (const { id } of items.slice(Math.min(from, index), Math.max(from, index) + 1)) {
      if (isOn) ids.add(id);
      else ids.delete(id);
    }
    anchor.current = index;
    selection.change(ids);
  };
  const onKeyDown = (event: React.KeyboardEvent): void => {
    if (event.target instanceof HTMLInputElement && event.target.type !== 'checkbox') return;
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const item = items[current];
    if (event.key === 'j' || event.key === 'ArrowDown') goTo(current + 1);
    else if (event.key === 'k' || event.key === 'ArrowUp') goTo(current - 1);
    else if (event.key === 'Home') goTo(0);
    else if (event.key === 'End') goTo(items.length - 1);
    else if (event.key === 'x' && item !== undefined) select(current, event.shiftKey);
    else if (event.key === 'Enter' && item !== undefined && (event.target as HTMLElement).role === 'row')
      open?.(item);
    else return;
    event.preventDefault();
  };

  const widths = [...(selection === undefined ? [] : ['2.25rem']), ...columns.map(({ width }) => width)].join(
    ' ',
  );
  const isAll = selection !== undefined && items.length > 0 && items.every(({ id }) => selection.ids.has(id));
  return (
    <div
      ref={table}
      className="rows"
      role="table"
      aria-label={label}
      aria-rowcount={
        (total ?? (more === undefined ? items.length : -1)) +
        (total === undefined && more !== undefined ? 0 : 1)
      }
      style={{ '--columns': widths } as React.CSSProperties}
      onKeyDown={onKeyDown}
    >
      <div role="rowgroup" className="rows-head">
        <div role="row" aria-rowindex={1} className="row">
          {selection !== undefined && (
            <div role="columnheader" className="cell-check">
              <input
                type="checkbox"
                aria-label="Select all that are loaded"
                checked={isAll}
                onChange={() => selection.change(isAll ? new Set() : new Set(items.map(({ id }) => id)))}
              />
            </div>
          )}
          {columns.map(({ key, title, isNumber }) => (
            <div role="columnheader" key={key} className={isNumber ? 'cell number' : 'cell'}>
              {title}
            </div>
          ))}
        </div>
      </div>
      <div role="rowgroup" className="rows-body" style={{ height: rows.getTotalSize() }}>
        {shown.map(({ index, key, start }) => {
          const item = items[index]!;
          const isSelected = selection?.ids.has(item.id) === true;
          return (
            <div
              role="row"
              key={key}
              ref={rows.measureElement}
              data-index={index}
              aria-rowindex={index + 2}
              tabIndex={index === Math.max(current, 0) ? 0 : -1}
              className={isSelected ? 'row selected' : 'row'}
              style={{ transform: `translateY(${start - offset}px)` }}
              onFocus={() => setCurrent(index)}
            >
              {selection !== undefined && (
                <div role="cell" className="cell-check">
                  <input
                    type="checkbox"
                    aria-label={`Select row ${index + 1}`}
                    checked={isSelected}
                    onChange={() => undefined}
                    onClick={(event) => select(index, event.shiftKey)}
                  />
                </div>
              )}
              {columns.map(({ key: name, title, cell, isNumber }) => (
                <div role="cell" key={name} className={isNumber ? 'cell number' : 'cell'} data-title={title}>
                  {cell(item)}
                </div>
              ))}
            </div>
          );
        })}
      </div>
    </div>
  );
}
