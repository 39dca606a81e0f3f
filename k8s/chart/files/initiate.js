// Runs beside each member when it has started. On the first it makes the replica set, the users and weft's index: as
// long as there are no users, mongod trusts localhost that far.
const members = process.env.MEMBERS.split(",");

function attempt(what) {
  for (;;) {
    try {
      const answer = what(); // mongosh waits for it here, but not behind "return", where its errors would come too late
      return answer;
    } catch (e) {
      if (e.codeName === "AlreadyInitialized") return; // by a run that was cut off
      if (e.codeName === "Unauthorized") quit(0); // there are users, so all this is done
      sleep(1000); // another member does not answer yet
    }
  }
}

if (members[0].startsWith(process.env.MEMBER)) {
  // The first has the higher priority: should another one win the election, it takes over, and goes on here.
  attempt(() => rs.initiate({ _id: "rs0", members: members.map((host, i) => ({ _id: i, host, priority: i === 0 ? 2 : 1 })) }));
  while (!db.hello().isWritablePrimary) sleep(500);
  const admin = db.getSiblingDB("admin");
  attempt(() => admin.createUser({ user: "root", pwd: process.env.ROOT_PASSWORD, roles: ["root"] }));
  admin.auth("root", process.env.ROOT_PASSWORD);
  admin.createUser({ user: "weft", pwd: process.env.WEFT_PASSWORD, roles: [{ role: "read", db: "user_profiles" }] });
  db.getSiblingDB("user_profiles").profiles.createIndex({ userId: 1 });
}
