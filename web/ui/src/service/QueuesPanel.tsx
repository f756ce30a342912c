import { count, words } from '../kit/figures'
import { Badge, Panel, Table } from '../kit/kit'
import type { Queue } from './health'

export function QueuesPanel({ queues }: { queues: readonly Queue[] }) {
  return (
    <Panel title="Queues">
      <Table label="Jobs of each queue">
        <thead>
          <tr>
            <th scope="col">Queue</th>
            <th scope="col" className="number">
              Pending
            </th>
            <th scope="col" className="number">
              Under way
            </th>
            <th scope="col" className="number">
              Failed
            </th>
          </tr>
        </thead>
        <tbody>
          {queues.map(({ name, pending, underWay, failed }) => (
            <tr key={name}>
              <th scope="row">{words(name)}</th>
              <td className="number">{count(pending)}</td>
              <td className="number">{count(underWay)}</td>
              <td className="number">{failed ? <Badge tone="warn">⚠ {count(failed)}</Badge> : count(failed)}</td>
            </tr>
          ))}
        </tbody>
      </Table>
    </Panel>
  )
}
