// Writes the cases of https://github.com/http-tests/cache-tests as JSON, so that a test of weft needs no Node.js, and
// the number of required cases that fail in the results of other caches that the suite has:
//
//	git clone https://github.com/http-tests/cache-tests && node export.mjs cache-tests > cases.json
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { pathToFileURL } from 'node:url'

const dir = path.resolve(process.argv[2])
const load = file => import(pathToFileURL(path.join(dir, file)))
const { default: suites } = await load('tests/index.mjs')
const { determineTestResult, resultTypes } = await load('test-engine/lib/results.mjs')

const commit = process.argv[3] ?? execFileSync('git', ['-C', dir, 'rev-parse', 'HEAD'], { encoding: 'utf8' }).trim()
const required = suites.flatMap(suite => suite.tests)
  .filter(test => (test.kind ?? 'required') === 'required' && !test.browser_only)
const others = ['apache', 'caddy', 'haproxy', 'nginx', 'squid', 'trafficserver', 'varnish'].map(name => {
  const results = JSON.parse(readFileSync(path.join(dir, 'results', `${name}.json`), 'utf8'))
  const is = type => required.filter(test => determineTestResult(suites, test.id, results) === resultTypes[type]).length
  return { name, pass: is('pass'), fail: is('fail') }
})

const lines = items => '[\n' + items.map(item => JSON.stringify(item)).join(',\n') + '\n]'
process.stdout.write(`{"source": "https://github.com/http-tests/cache-tests", "commit": "${commit}",
"others": ${lines(others)},
"suites": [${suites.map(suite => `{"id": "${suite.id}", "tests": ${lines(suite.tests)}}`).join(',\n')}]}
`)
