import type { ExposureQuality } from '../gql'
import { percent, words } from './figures'
import { Badge, Table, type Tone } from './kit'
import './exposures.css'

type Exposure = { factor: string; beta: number | null; quality: ExposureQuality; basis?: Basis }
/** What a beta stands on. */
type Basis = { rSquared: number | null; observations: number; windowDays: number }

const QUALITIES: Record<ExposureQuality, readonly [Tone, string]> = {
  FULL_HISTORY: ['good', 'full'],
  LIMITED_HISTORY: ['warn', 'limited'],
  UNAVAILABLE: ['plain', 'unavailable'],
}
const LEAST_SCALE = 1

/** Betas as bars to both sides of zero, on one scale. */
export function Exposures({ exposures }: { exposures: readonly Exposure[] }) {
  const widest = Math.max(LEAST_SCALE, ...exposures.map(({ beta }) => Math.abs(beta ?? 0)))
  return (
    <Table label="Exposures by factor">
      <thead>
        <tr>
          <th scope="col">Factor</th>
          <th scope="col" className="number">
            Beta
          </th>
          <td aria-hidden className="bar-head" />
          {exposures.some(({ basis }) => basis) && (
            <>
              <th scope="col" className="number">
                R²
              </th>
              <th scope="col" className="number">
                Days
              </th>
            </>
          )}
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

function Row({ exposure: { factor, beta, quality, basis }, widest }: { exposure: Exposure; widest: number }) {
  const [tone, text] = QUALITIES[quality]
  return (
    <tr data-factor={factor}>
      <th scope="row">{words(factor)}</th>
      <td className="number">{beta === null ? <span className="soft">not estimated</span> : signed.format(beta)}</td>
      <td aria-hidden className="bar-cell">
        <Bar beta={beta} widest={widest} />
      </td>
      {basis && (
        <>
          <td className="number">{basis.rSquared === null ? '–' : percent(basis.rSquared)}</td>
          <td className="number">
            {basis.observations} of {basis.windowDays}
          </td>
        </>
      )}
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

const signed = new Intl.NumberFormat(undefined, {
  signDisplay: 'exceptZero',
  minimumFractionDigits: 2,
  maximumFractionDigits: 2,
})
