import { useRead } from '../api/read'
import { type ExposureQuality, SymbolExposuresDocument, type SymbolExposuresQuery } from '../gql'
import { percent, words } from '../kit/figures'
import { Badge, Empty, Table, type Tone } from '../kit/kit'
import type { Card } from '../symbols/feed'
import { ReadPanel } from './ReadPanel'

type Exposure = NonNullable<SymbolExposuresQuery['symbol']>['factorExposures'][number]

const QUALITIES: Record<ExposureQuality, readonly [Tone, string]> = {
  FULL_HISTORY: ['good', 'full'],
  LIMITED_HISTORY: ['warn', 'limited'],
  UNAVAILABLE: ['plain', 'unavailable'],
}

export function ExposuresPanel({ symbol: card }: { symbol: Card }) {
  const reading = useRead(SymbolExposuresDocument, { ticker: card.ticker }, card)
  return (
    <ReadPanel title="Factor exposures" what="The factor exposures" reading={reading}>
      {({ symbol }) => <Exposures exposures={symbol?.factorExposures ?? []} />}
    </ReadPanel>
  )
}

function Exposures({ exposures }: { exposures: readonly Exposure[] }) {
  if (!exposures.length) return <Empty title="No factors are known">They are measured when a symbol is onboarded.</Empty>
  const widest = Math.max(1, ...exposures.map(({ beta }) => Math.abs(beta ?? 0)))
  return (
    <Table label="Factor exposures">
      <thead>
        <tr>
          <th scope="col">Factor</th>
          <th scope="col" className="number">
            Beta
          </th>
          <td aria-hidden className="bar-head" />
          <th scope="col" className="number">
            R²
          </th>
          <th scope="col" className="number">
            Days
          </th>
          <th scope="col">History</th>
        </tr>
      </thead>
      <tbody>
        {exposures.map((exposure) => (
          <Row key={exposure.factor} exposure={exposure} widest={widest} />
        ))}
      </tbody>
    </Table>
  )
}

function Row({ exposure, widest }: { exposure: Exposure; widest: number }) {
  const { factor, beta, rSquared, observations, windowDays, quality } = exposure
  const [tone, text] = QUALITIES[quality]
  return (
    <tr data-factor={factor}>
      <th scope="row">{words(factor)}</th>
      <td className="number">{beta === null ? <span className="soft">not estimated</span> : signed(beta)}</td>
      <td aria-hidden className="bar-cell">
        <Bar beta={beta} widest={widest} />
      </td>
      <td className="number">{rSquared === null ? '–' : percent(rSquared)}</td>
      <td className="number">
        {observations} of {windowDays}
      </td>
      <td>
        <Badge tone={tone}>{text}</Badge>
      </td>
    </tr>
  )
}

/** From zero, in the middle, to the right, or to the left where it is negative. */
function Bar({ beta, widest }: { beta: number | null; widest: number }) {
  const share = `${(Math.abs(beta ?? 0) / widest) * 50}%`
  return (
    <span className="beta">
      {beta !== null && <span className={beta < 0 ? 'negative' : 'positive'} style={{ width: share }} />}
    </span>
  )
}

const format = new Intl.NumberFormat(undefined, {
  signDisplay: 'exceptZero',
  minimumFractionDigits: 2,
  maximumFractionDigits: 2,
})
const signed = (beta: number) => format.format(beta)
