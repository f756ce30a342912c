import type { Reading } from '../api/read'
import type { SymbolLevelsQuery } from '../gql'
import { many, percent, price, words } from '../kit/figures'
import { Badge, Empty, Table } from '../kit/kit'
import { Instant } from '../kit/times'
import type { Card } from '../symbols/feed'
import { ReadPanel } from './ReadPanel'

type LevelsPanelProps = { symbol: Card; reading: Reading<SymbolLevelsQuery> }

export function LevelsPanel({ symbol: { currency, exchange }, reading }: LevelsPanelProps) {
  return (
    <ReadPanel title="Levels" what="The levels" reading={reading}>
      {({ symbol }) =>
        symbol?.levels.length ? (
          <Table label="Levels, strongest first">
            <thead>
              <tr>
                <th scope="col">Kind</th>
                <th scope="col" className="number">
                  Price
                </th>
                <th scope="col" className="number">
                  Strength
                </th>
                <th scope="col">Touched</th>
              </tr>
            </thead>
            <tbody>
              {symbol.levels.map((level) => (
                <tr key={`${level.kind} ${level.price}`}>
                  <th scope="row">
                    <Badge tone={level.kind === 'SUPPORT' ? 'good' : 'bad'}>
                      <span aria-hidden>{level.kind === 'SUPPORT' ? 'S' : 'R'}</span> {words(level.kind)}
                    </Badge>
                  </th>
                  <td className="number">
                    {price(level.price, currency)}
                    {level.priceUpper !== null && <span className="beneath">to {price(level.priceUpper, currency)}</span>}
                  </td>
                  <td className="number">
                    {percent(level.strength, 0)}
                    <span className="strength" aria-hidden>
                      <span style={{ width: `${level.strength * 100}%` }} />
                    </span>
                  </td>
                  <td>
                    {many(level.touches, 'time')}
                    <span className="beneath">
                      last <Instant at={level.lastTouchedAt} exchange={exchange} only="date" />
                    </span>
                  </td>
                </tr>
              ))}
            </tbody>
          </Table>
        ) : (
          <Empty title="No levels">They are found in the daily bars, of which there are not enough yet.</Empty>
        )
      }
    </ReadPanel>
  )
}
