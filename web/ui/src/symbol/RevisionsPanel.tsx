import { useRead } from '../api/read'
import { SymbolRevisionsDocument, type SymbolRevisionsQuery } from '../gql'
import { many } from '../kit/figures'
import { Table } from '../kit/kit'
import { Ago } from '../kit/times'
import type { Card } from '../symbols/feed'
import { BarTime } from './BarTime'
import { textOf } from './intervals'
import { ReadPanel } from './ReadPanel'

type Revision = NonNullable<SymbolRevisionsQuery['symbol']>['revisions'][number]

const MOST = 100

/** Bars that the provider has changed after they were stored. */
export function RevisionsPanel({ symbol: card }: { symbol: Card }) {
  const reading = useRead(SymbolRevisionsDocument, { ticker: card.ticker }, card)
  return (
    <ReadPanel title="Revisions" what="The revisions" reading={reading}>
      {({ symbol }) => <Revisions revisions={symbol?.revisions ?? []} exchange={card.exchange} />}
    </ReadPanel>
  )
}

function Revisions({ revisions, exchange }: { revisions: readonly Revision[]; exchange: string | null }) {
  if (!revisions.length) return <p className="soft">The provider has changed nothing of what is stored.</p>
  return (
    <div className="bounded">
      {revisions.length === MOST && <p className="soft small">The newest {many(MOST, 'revision')}:</p>}
      <Table label="Revisions, newest first">
        <thead>
          <tr>
            <th scope="col">Bar</th>
            <th scope="col">Field</th>
            <th scope="col" className="number">
              Was
            </th>
            <th scope="col" className="number">
              Is now
            </th>
            <th scope="col">Source</th>
            <th scope="col">Seen</th>
          </tr>
        </thead>
        <tbody>
          {revisions.map(({ interval, openTime, field, oldValue, newValue, source, observedAt }) => (
            <tr key={`${interval} ${openTime} ${field} ${observedAt}`}>
              <th scope="row">
                <BarTime at={openTime} interval={interval} exchange={exchange} />, {textOf(interval)}
              </th>
              <td>{field}</td>
              <td className="number">{oldValue}</td>
              <td className="number">{newValue}</td>
              <td>{source}</td>
              <td>
                <Ago at={observedAt} exchange={exchange} />
              </td>
            </tr>
          ))}
        </tbody>
      </Table>
    </div>
  )
}
