import { Link } from 'wouter'
import { count } from '../kit/figures'
import { Badge, Empty, Panel, Table } from '../kit/kit'
import type { ClassFreshness } from './health'
import { hours } from './spans'
import { CLASSES, isTooStale } from './unwell'

export function FreshnessPanel({ classes, thresholdHours }: { classes: readonly ClassFreshness[]; thresholdHours: number }) {
  return (
    <Panel title="Freshness">
      {classes.length === 0 ? (
        <Empty title="No symbol is tracked">
          <Link href="/">Add one on the board</Link>
        </Empty>
      ) : (
        <>
          <Table label="Freshness by asset class">
            <thead>
              <tr>
                <th scope="col">Class</th>
                <th scope="col">Fresh</th>
                <th scope="col" className="number">
                  Median age
                </th>
                <th scope="col" className="number">
                  95 % within
                </th>
              </tr>
            </thead>
            <tbody>
              {classes.map((each) => (
                <Row key={each.assetClass} {...each} />
              ))}
            </tbody>
          </Table>
          <p className="soft small">
            Stale is what was not updated for more than {thresholdHours} h. Ages are those of symbols that ever were.
          </p>
        </>
      )}
    </Panel>
  )
}

function Row(each: ClassFreshness) {
  const { assetClass, fresh, stale, tracked, medianHours, p95Hours } = each
  return (
    <tr>
      <th scope="row">
        {CLASSES[assetClass]} {isTooStale(each) && <Badge tone="warn">⚠ {count(stale)} stale</Badge>}
      </th>
      <td className="fresh-share">
        <span>
          {count(fresh)} of {count(tracked)}
        </span>
        <span className="share" aria-hidden>
          <span style={{ width: `${(100 * fresh) / tracked}%` }} />
        </span>
      </td>
      <td className="number">{hours(medianHours)}</td>
      <td className="number">{hours(p95Hours)}</td>
    </tr>
  )
}
