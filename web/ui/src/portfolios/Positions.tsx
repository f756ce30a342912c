import type { ReactNode } from 'react'
import { Link } from 'wouter'
import { exact, money, price } from '../kit/figures'
import { useFirst } from '../kit/first'
import { Table } from '../kit/kit'
import { Day } from '../kit/times'
import { symbolPath } from '../symbols/SymbolCard'
import type { Lot } from './feed'
import { Gain } from './Gain'

const FIRST = 200

/** Open lots, in the order of the file. */
export function OpenLots({ lots }: { lots: readonly Lot[] }) {
  const [shown, more] = useFirst(lots, FIRST)
  return (
    <>
      <Table label="Open lots">
        <Heads
          heads={[
            'Symbol',
            '#Quantity',
            '#Entry price',
            'Entry date',
            '#Last price',
            'Price of',
            '#Value',
            '#Cost',
            '#Gain or loss',
          ]}
        />
        <tbody>
          {shown.map((lot) => (
            <OpenLot key={lot.place} lot={lot} />
          ))}
        </tbody>
      </Table>
      {more}
    </>
  )
}

function OpenLot({ lot }: { lot: Lot }) {
  const { currency, lastPrice, lastPriceDate, marketValue, pnl, note } = lot
  return (
    <>
      <tr>
        <Ticker lot={lot} />
        <Figure>{exact(lot.quantity)}</Figure>
        <Figure>{entry(lot)}</Figure>
        <td>{lot.entryDate && <Day date={lot.entryDate} />}</td>
        <Figure>{currency && lastPrice ? price(lastPrice, currency) : <span className="soft">none yet</span>}</Figure>
        <td>{lastPriceDate && <Day date={lastPriceDate} />}</td>
        <Figure>{currency && marketValue ? money(marketValue, currency) : '–'}</Figure>
        <Figure>{cost(lot)}</Figure>
        <Figure>{currency && pnl ? <Gain amount={pnl} currency={currency} /> : '–'}</Figure>
      </tr>
      {note && (
        <tr>
          <td colSpan={9}>
            <p className="warning across">
              <span aria-hidden>⚠ </span>
              {lot.ticker}: {note}
            </p>
          </td>
        </tr>
      )}
    </>
  )
}

/** They are listed, and count nowhere. */
export function ClosedLots({ lots }: { lots: readonly Lot[] }) {
  const [shown, more] = useFirst(lots, FIRST)
  return (
    <>
      <Table label="Closed lots">
        <Heads heads={['Symbol', '#Quantity', '#Entry price', 'Entry date', 'Exit date', '#Cost']} />
        <tbody>
          {shown.map((lot) => (
            <tr key={lot.place}>
              <Ticker lot={lot} />
              <Figure>{exact(lot.quantity)}</Figure>
              <Figure>{entry(lot)}</Figure>
              <td>{lot.entryDate && <Day date={lot.entryDate} />}</td>
              <td>{lot.exitDate && <Day date={lot.exitDate} />}</td>
              <Figure>{cost(lot)}</Figure>
            </tr>
          ))}
        </tbody>
      </Table>
      {more}
    </>
  )
}

/** One that begins with # stands above numbers. */
function Heads({ heads }: { heads: readonly string[] }) {
  return (
    <thead>
      <tr>
        {heads.map((head) => (
          <th key={head} scope="col" className={head.startsWith('#') ? 'number' : undefined}>
            {head.replace('#', '')}
          </th>
        ))}
      </tr>
    </thead>
  )
}

function Ticker({ lot: { ticker } }: { lot: Lot }) {
  return (
    <th scope="row">
      <Link href={symbolPath(ticker)}>{ticker}</Link>
    </th>
  )
}

const Figure = ({ children }: { children: ReactNode }) => <td className="number">{children}</td>

const entry = ({ entryPrice, currency }: Lot) => (currency ? price(entryPrice, currency) : exact(entryPrice))
const cost = ({ costBasis, currency }: Lot) => (currency ? money(costBasis, currency) : exact(costBasis))
