import org.apache.hadoop.hdfs.HdfsConfiguration;
import org.apache.hadoop.hdfs.server.datanode.DataNode;
import org.apache.hadoop.metrics2.lib.DefaultMetricsSystem;

/** Runs DataNodes in one process: a JVM for each takes five times the memory. Each argument is one of them, as key=value,key=value. */
public final class DataNodes {
    private DataNodes() {}

    public static void main(String[] arguments) throws Exception {
        // Else the second one is refused, because the counters of the first one have its names.
        DefaultMetricsSystem.setMiniClusterMode(true);
        for (String one : arguments) {
            HdfsConfiguration configuration = new HdfsConfiguration();
            for (String property : one.split(",")) {
                String[] pair = property.split("=", 2);
                configuration.set(pair[0], pair[1]);
            }
            DataNode.instantiateDataNode(new String[0], configuration).runDatanodeDaemon();
        }
        Thread.currentThread().join(); // until it is killed
    }
}
