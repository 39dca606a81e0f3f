// Runs in each pod when its member has started. In the first pod it creates the replica set, the users and weft's index:
// without users, mongod allows this from localhost.
const members = process.env.MEMBERS.split(",");

function attempt(what) {
  for (;;) {
    try {
      const answer = what(); // mongosh awaits it here, but not after "return", which would miss its errors
      return answer;
    } catch (e) {
      if (e.codeName === "AlreadyInitialized") return; // by an interrupted run
      if (e.codeName === "Unauthorized") quit(0); // users exist, so initialization is complete
      sleep(1000); // another member does not respond yet
    }
  }
}

if (members[0].startsWith(process.env.MEMBER)) {
  // The first member has a higher priority: if another one wins the election, the first takes over and continues here.
  attempt(() => rs.initiate({ _id: "rs0", members: members.map((host, i) => ({ _id: i, host, priority: i === 0 ? 2 : 1 })) }));
  while (!db.hello().isWritablePrimary) sleep(500);
  const admin = db.getSiblingDB("admin");
  attempt(() => admin.createUser({ user: "root", pwd: process.env.ROOT_PASSWORD, roles: ["root"] }));
  admin.auth("root", process.env.ROOT_PASSWORD);
  admin.createUser({ user: "weft", pwd: process.env.WEFT_PASSWORD, roles: [{ role: "read", db: "user_profiles" }] });
  db.getSiblingDB("user_profiles").profiles.createIndex({ userId: 1 });
}
