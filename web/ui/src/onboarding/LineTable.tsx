import { exact } from '../kit/figures'
import { useFirst } from '../kit/first'
import { Badge, Table } from '../kit/kit'
import { Day } from '../kit/times'
import { isWrong, type Line, type Mistake, type Row } from './lines'

const FIRST = 200
const LOT = ['Symbol', 'Quantity', 'Entry price', 'Entry date', 'Exit date']
const NUMBERS = new Set(['Quantity', 'Entry price'])

/** A file's lines: the lots they are, or all that is wrong with them. */
export function LineTable({ label, lines, unknown }: { label: string; lines: readonly Line[]; unknown: ReadonlySet<string> }) {
  const [shown, more] = useFirst(lines, FIRST)
  return (
    <>
      <Table label={label}>
        <thead>
          <tr>
            <th scope="col" className="number">
              Line
            </th>
            {shown.every(isWrong) ? (
              <th scope="col" colSpan={LOT.length}>
                Mistakes
              </th>
            ) : (
              LOT.map((head) => (
                <th key={head} scope="col" className={NUMBERS.has(head) ? 'number' : undefined}>
                  {head}
                </th>
              ))
            )}
          </tr>
        </thead>
        <tbody>
          {shown.map((line) =>
            'row' in line ? (
              <Good key={line.number} row={line.row} isNew={unknown.has(line.row.ticker)} />
            ) : (
              <Bad key={line.number} {...line} />
            ),
          )}
        </tbody>
      </Table>
      {more}
    </>
  )
}

function Good({ row, isNew }: { row: Row; isNew: boolean }) {
  return (
    <tr>
      <th scope="row" className="number">
        {row.line}
      </th>
      <td>
        {row.ticker} {isNew && <Badge tone="info">new</Badge>}
      </td>
      <td className="number">{exact(row.quantity)}</td>
      <td className="number">{exact(row.entryPrice)}</td>
      <td>{row.entryDate && <Day date={row.entryDate} />}</td>
      <td>{row.exitDate && <Day date={row.exitDate} />}</td>
    </tr>
  )
}

function Bad({ number, raw, mistakes }: { number: number; raw: string; mistakes: readonly Mistake[] }) {
  return (
    <tr className="wrong">
      <th scope="row" className="number">
        <span aria-hidden>✕ </span>
        {number}
      </th>
      <td colSpan={LOT.length}>
        <div className="across">
          <code>{raw || '(an empty line)'}</code>
          <ul>
            {mistakes.map(({ column, value, code, message, hint }) => (
              <li key={`${code} ${column}`}>
                {column && (
                  <strong>
                    {column}
                    {value && (
                      <>
                        {' '}
                        <code>{value}</code>
                      </>
                    )}
                    :{' '}
                  </strong>
                )}
                {message} {hint}
              </li>
            ))}
          </ul>
        </div>
      </td>
    </tr>
  )
}
