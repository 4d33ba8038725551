import org.apache.hadoop.hive.conf.HiveConf;
import org.apache.hadoop.hive.metastore.txn.TxnDbUtil;

/** The metastore makes every table of its database but those of its locks. */
public final class PrepareLocks {
  private PrepareLocks() {}

  public static void main(String[] arguments) throws Exception {
    TxnDbUtil.prepDb(new HiveConf());
  }
}
