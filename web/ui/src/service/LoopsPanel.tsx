import { count } from '../kit/figures'
import { Badge, Empty, Panel, Table, type Tone } from '../kit/kit'
import type { Loop } from './health'
import { span } from './spans'
import { isUnwell } from './unwell'

const STATES: Record<Loop['state'], readonly [Tone, string, string]> = {
  RUNNING: ['good', '●', 'running'],
  WAITING: ['warn', '◐', 'started again'],
  FAILED: ['bad', '■', 'failing'],
  STOPPED: ['plain', '○', 'stopped'],
}

export function LoopsPanel({ loops }: { loops: readonly Loop[] }) {
  const unwellFirst = [...loops].sort((one, other) => Number(isUnwell(other)) - Number(isUnwell(one)))
  return (
    <Panel title="Background work">
      {loops.length === 0 ? (
        <Empty title="The process that answers does no background work" />
      ) : (
        <Table label="Background loops">
          <thead>
            <tr>
              <th scope="col">Loop</th>
              <th scope="col">State</th>
              <th scope="col" className="number">
                For
              </th>
              <th scope="col" className="number">
                Restarts
              </th>
              <th scope="col">Last error</th>
            </tr>
          </thead>
          <tbody>
            {unwellFirst.map((loop) => (
              <Row key={loop.name} loop={loop} />
            ))}
          </tbody>
        </Table>
      )}
    </Panel>
  )
}

function Row({ loop: { name, state, seconds, restarts, lastError } }: { loop: Loop }) {
  const [tone, sign, text] = STATES[state]
  return (
    <tr>
      <th scope="row">{name}</th>
      <td>
        <Badge tone={tone}>
          <span aria-hidden>{sign}</span> {text}
        </Badge>
      </td>
      <td className="number">{span(seconds)}</td>
      <td className="number">{count(restarts)}</td>
      <td>{lastError ?? <span className="soft">none</span>}</td>
    </tr>
  )
}
