package org.apache.hadoop.hive.common.auth;

import java.net.InetAddress;
import java.net.InetSocketAddress;
import org.apache.thrift.transport.TServerSocket;
import org.apache.thrift.transport.TTransportException;

/**
 * Stands before Hive's own class of this name: metastore 2.3 asks it for its socket, names no host, and has no setting
 * that would. The other methods of Hive's class are for clients and for TLS.
 */
public final class HiveAuthUtils {
  private HiveAuthUtils() {}

  public static TServerSocket getServerSocket(String host, int port) throws TTransportException {
    return new TServerSocket(new InetSocketAddress(InetAddress.getLoopbackAddress(), port));
  }
}
