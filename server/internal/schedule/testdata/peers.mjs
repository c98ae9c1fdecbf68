// Asks cron packages for the next times of each case. Reads {dir, count,
// cases: [{expr, zone, after}]} and writes {package: [[time, …] or null, …]};
// null is a refusal. Packages that are not in dir are left out.
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";

const { dir, count, cases } = JSON.parse(readFileSync(0, "utf8"));
const load = createRequire(dir + "/from-here.js");

const peers = {
  croner(pkg) {
    return (c, after) => new pkg.Cron(c.expr, { timezone: c.zone, paused: true }).nextRuns(count, after);
  },
  "cron-parser"(pkg) {
    return (c, after) => {
      const it = pkg.CronExpressionParser.parse(c.expr, { currentDate: after, tz: c.zone });
      return Array.from({ length: count }, () => it.next().toDate());
    };
  },
  cronosjs(pkg) {
    return (c, after) => pkg.CronosExpression.parse(c.expr, { timezone: c.zone }).nextNDates(after, count);
  },
};

const answers = {};
for (const [name, make] of Object.entries(peers)) {
  let next;
  try {
    next = make(load(name));
  } catch {
    continue;
  }
  answers[name] = cases.map((c) => {
    try {
      return next(c, new Date(c.after)).map((d) => d.toISOString().replace(".000Z", "Z"));
    } catch {
      return null;
    }
  });
}
process.stdout.write(JSON.stringify(answers));
