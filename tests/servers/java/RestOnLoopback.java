package org.apache.iceberg.rest;

import java.util.Map;
import org.apache.hadoop.conf.Configuration;
import org.apache.iceberg.CatalogUtil;
import org.eclipse.jetty.compression.gzip.GzipCompression;
import org.eclipse.jetty.compression.server.CompressionHandler;
import org.eclipse.jetty.ee10.servlet.ServletContextHandler;
import org.eclipse.jetty.ee10.servlet.ServletHolder;
import org.eclipse.jetty.server.Server;
import org.eclipse.jetty.server.ServerConnector;

/** RESTCatalogServer as Apache wrote it, but on the loopback interface: its own main listens on all of them. */
public final class RestOnLoopback {
  private RestOnLoopback() {}

  public static void main(String[] arguments) throws Exception {
    Map<String, String> properties = RCKUtils.environmentCatalogConfig();
    properties.putIfAbsent("catalog-impl", "org.apache.iceberg.jdbc.JdbcCatalog");
    var catalog = CatalogUtil.buildIcebergCatalog("rest_backend", properties, new Configuration());
    var backend = new RESTCatalogServer.CatalogContext(catalog, properties);

    var context = new ServletContextHandler(ServletContextHandler.NO_SESSIONS);
    context.addServlet(new ServletHolder(new RESTCatalogServlet(new RESTServerCatalogAdapter(backend))), "/*");
    var compression = new CompressionHandler();
    compression.putCompression(new GzipCompression());
    context.insertHandler(compression);

    var server = new Server();
    var connector = new ServerConnector(server);
    connector.setHost("127.0.0.1");
    connector.setPort(Integer.parseInt(arguments[0]));
    server.addConnector(connector);
    server.setHandler(context);
    server.start();
    server.join();
  }
}
