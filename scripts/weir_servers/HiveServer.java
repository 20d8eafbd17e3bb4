import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import org.apache.hadoop.hive.metastore.HiveMetaStore;

/**
 * Serves a Hive Metastore on PostgreSQL. The metastore makes the tables of its objects by itself, but not its database and not the tables
 * of its locks: they are made here first. Arguments: the URI of an existing database and that of the metastore's, its name, the user, the
 * metastore's port.
 */
public final class HiveServer {
    private static final String[] LOCK_TABLES = {
        "CREATE TABLE TXNS (TXN_ID BIGSERIAL PRIMARY KEY, TXN_STATE CHAR(1) NOT NULL, TXN_STARTED BIGINT NOT NULL,"
            + " TXN_LAST_HEARTBEAT BIGINT NOT NULL, TXN_USER VARCHAR(128) NOT NULL, TXN_HOST VARCHAR(128) NOT NULL,"
            + " TXN_AGENT_INFO VARCHAR(128), TXN_META_INFO VARCHAR(128), TXN_HEARTBEAT_COUNT INTEGER, TXN_TYPE INTEGER)",
        "CREATE TABLE TXN_COMPONENTS (TC_TXNID BIGINT NOT NULL, TC_DATABASE VARCHAR(128) NOT NULL, TC_TABLE VARCHAR(256),"
            + " TC_PARTITION VARCHAR(767), TC_OPERATION_TYPE CHAR(1) NOT NULL, TC_WRITEID BIGINT)",
        "CREATE TABLE HIVE_LOCKS (HL_LOCK_EXT_ID BIGINT NOT NULL, HL_LOCK_INT_ID BIGINT NOT NULL, HL_TXNID BIGINT NOT NULL,"
            + " HL_DB VARCHAR(128) NOT NULL, HL_TABLE VARCHAR(256), HL_PARTITION VARCHAR(767), HL_LOCK_STATE CHAR(1) NOT NULL,"
            + " HL_LOCK_TYPE CHAR(1) NOT NULL, HL_LAST_HEARTBEAT BIGINT NOT NULL, HL_ACQUIRED_AT BIGINT,"
            + " HL_USER VARCHAR(128) NOT NULL, HL_HOST VARCHAR(128) NOT NULL, HL_HEARTBEAT_COUNT INTEGER,"
            + " HL_AGENT_INFO VARCHAR(128), HL_BLOCKEDBY_EXT_ID BIGINT, HL_BLOCKEDBY_INT_ID BIGINT,"
            + " PRIMARY KEY (HL_LOCK_EXT_ID, HL_LOCK_INT_ID))",
        "CREATE TABLE NEXT_LOCK_ID (NL_NEXT BIGINT NOT NULL)",
        "INSERT INTO NEXT_LOCK_ID VALUES (1)",
        "CREATE TABLE AUX_TABLE (MT_KEY1 VARCHAR(128) NOT NULL, MT_KEY2 BIGINT NOT NULL, MT_COMMENT VARCHAR(255),"
            + " PRIMARY KEY (MT_KEY1, MT_KEY2))",
    };

    private HiveServer() {}

    public static void main(String[] arguments) throws Throwable {
        String existing = arguments[0], own = arguments[1], name = arguments[2], user = arguments[3], port = arguments[4];
        if (ask(existing, user, "SELECT 1 FROM pg_database WHERE datname = '" + name + "'") == 0) {
            change(existing, user, "CREATE DATABASE " + name);
        }
        if (ask(own, user, "SELECT 1 FROM pg_tables WHERE tablename = 'AUX_TABLE'") == 0) {
            // The metastore asks for these names in capitals, which PostgreSQL keeps only in quotes.
            String[] quoted = LOCK_TABLES.clone();
            for (int i = 0; i < quoted.length; i++) {
                quoted[i] = quoted[i].replaceAll("\\b([A-Z]+_[A-Z0-9_]+|TXNS)\\b", "\"$1\"");
            }
            change(own, user, quoted);
        }
        HiveMetaStore.main(new String[] {"-p", port});
    }

    private static int ask(String database, String user, String question) throws SQLException {
        try (Connection connection = DriverManager.getConnection(database, user, "");
                ResultSet answer = connection.createStatement().executeQuery(question)) {
            return answer.next() ? answer.getInt(1) : 0;
        }
    }

    private static void change(String database, String user, String... statements) throws SQLException {
        try (Connection connection = DriverManager.getConnection(database, user, "");
                Statement statement = connection.createStatement()) {
            for (String one : statements) {
                statement.execute(one);
            }
        }
    }
}
