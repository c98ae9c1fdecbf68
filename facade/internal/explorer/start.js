'use strict';
// Two things beyond GraphiQL's own defaults: a place for the token, which is
// not kept, and an example to begin with.
ReactDOM.createRoot(document.getElementById('explorer')).render(
  React.createElement(GraphiQL, {
    fetcher: GraphiQL.createFetcher({ url: '/graphql' }),
    isHeadersEditorEnabled: true,
    shouldPersistHeaders: false,
    defaultEditorToolsVisibility: 'headers',
    defaultHeaders: JSON.stringify({ Authorization: 'Bearer <token>' }, null, 2),
    defaultQuery: [
      '# A token goes into Headers below: carillon token, or POST /oauth2/token.',
      '# The schema itself needs none: open the documentation on the left.',
      'query Jobs {',
      '  getScheduledJobs(instanceId: "1") {',
      '    id',
      '    name',
      '    frequencyType',
      '    cronExpression',
      '    nextRun',
      '    history {',
      '      id',
      '      state',
      '      signedLogUrl',
      '    }',
      '  }',
      '}',
      '',
    ].join('\n'),
  }),
);
